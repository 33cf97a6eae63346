"""The training of SASRec: it learns what can be learned, keeps the best epoch, stops, and resumes exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.errors import DataError
from tests.toys import cycles, interactions_of
from training.baselines import target_ranks
from training.run_log import read_metrics
from training.sasrec import SasrecSizes
from training.sasrec_trainer import Fitted, SasrecScorer, SasrecTrainer, SasrecTraining, load_sasrec
from training.split import Split

ITEMS = 12
SIZES = SasrecSizes(d_model=16, layers=1, heads=2, dropout=0.0, max_history=6)
CPU = torch.device("cpu")


def training(**changes: Any) -> SasrecTraining:
    settings = {"positions": 64, "warmup": 5, "device": "cpu", "precision": "float32", "threads": 1, "epochs": 4}
    return SasrecTraining.model_validate(settings | changes)


def train(out: Path, **changes: Any) -> Fitted:
    return SasrecTrainer(training(**changes), SIZES, Split(interactions_of(cycles())), ITEMS, out).run()


def test_a_deterministic_sequence_is_learned(tmp_path: Path) -> None:
    fitted = train(tmp_path, epochs=60, learning_rate=1e-2, patience=60)
    assert fitted.ndcg > 0.99
    split = Split(interactions_of(cycles()))
    scorer = SasrecScorer(load_sasrec(tmp_path, ITEMS, SIZES, CPU), split)
    assert (target_ranks(scorer, split, ITEMS, "test", remove_seen=False) == 0).mean() > 0.9


def test_the_weights_kept_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    fitted = train(tmp_path, epochs=8, learning_rate=3e-2)
    curve = [record["validation/ndcg@10"] for record in read_metrics(tmp_path)]
    assert len(curve) == fitted.epochs == 8
    assert fitted.ndcg == max(curve)
    assert fitted.best_epoch == 1 + int(np.argmax(curve))
    scorer = SasrecScorer(load_sasrec(tmp_path, ITEMS, SIZES, CPU), Split(interactions_of(cycles())))
    ranks = target_ranks(scorer, scorer.split, ITEMS, "validation", remove_seen=False)
    assert np.where(ranks < 10, 1 / np.log2(ranks + 2), 0).mean() == pytest.approx(fitted.ndcg)


def test_training_stops_when_validation_no_longer_rises(tmp_path: Path) -> None:
    fitted = train(tmp_path, learning_rate=1e-12, patience=2, epochs=50)
    assert fitted.ended == "patience"
    assert fitted.epochs == fitted.best_epoch + 2


@pytest.mark.parametrize(("changes", "ended"), [({"max_minutes": 1e-9}, "minutes"), ({"epochs": 1}, "epochs")])
def test_a_used_up_budget_ends_training_with_a_model(tmp_path: Path, changes: dict[str, Any], ended: str) -> None:
    fitted = train(tmp_path, **changes)
    assert (fitted.ended, fitted.epochs) == (ended, 1)
    load_sasrec(tmp_path, ITEMS, SIZES, CPU)


def test_data_without_successors_is_refused(tmp_path: Path) -> None:
    split = Split(interactions_of([[0, 1, 2], [1]]))
    with pytest.raises(DataError, match="no user has two training events"):
        SasrecTrainer(training(), SIZES, split, ITEMS, tmp_path)


def test_a_run_that_was_broken_off_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    straight = train(whole)
    with monkeypatch.context() as patched:
        save = SasrecTrainer._save

        def save_twice(trainer: SasrecTrainer) -> None:
            save(trainer)
            if trainer.epoch == 2:
                break_off()

        patched.setattr(SasrecTrainer, "_save", save_twice)
        with pytest.raises(KeyboardInterrupt):
            train(killed)
    resumed = train(killed)
    assert resumed._replace(seconds=0) == straight._replace(seconds=0)
    weights = [load_sasrec(folder, ITEMS, SIZES, CPU).state_dict() for folder in (whole, killed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
