"""The grid of the SASRec stage: the choice is made on validation, and finished points are not trained again."""

import json
from pathlib import Path

import pytest
import torch

from tests.toys import cycles, interactions_of
from training.fit_sasrec import FitSasrecConfig, load_chosen, run
from training.items import Item, write_items
from training.sasrec import SasrecSizes
from training.sasrec_trainer import Fitted, SasrecTrainer
from training.split import SplitConfig

GRID = tuple(SasrecSizes(d_model=width, layers=1, heads=2, dropout=0.0, max_history=6) for width in (4, 16))
CONFIG = FitSasrecConfig(grid=GRID, epochs=3, device="cpu", precision="float32", threads=1, max_minutes=10)


@pytest.fixture
def prepare(tmp_path: Path) -> Path:
    folder = tmp_path / "prepare"
    folder.mkdir()
    write_items(folder / "items.jsonl", [Item(id=f"item-{row:03d}") for row in range(12)])
    interactions_of(cycles()).save(folder / "interactions.npz")
    return folder


def test_the_point_that_is_best_on_validation_is_chosen(prepare: Path, tmp_path: Path) -> None:
    run(CONFIG, SplitConfig(), prepare, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    ndcg = [point["ndcg"] for point in report["grid"]]
    assert report["chosen"] == ndcg.index(max(ndcg))
    model = load_chosen(tmp_path / "out", torch.device("cpu"))
    assert model.sizes == GRID[report["chosen"]]
    parameters = sum(weights.numel() for weights in model.parameters())
    assert report["grid"][report["chosen"]]["parameters"] == parameters


def test_finished_points_are_not_trained_again(prepare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    train = SasrecTrainer.run

    def noted(trainer: SasrecTrainer) -> Fitted:
        trained.append(trainer.out.name)
        if trained == ["0", "1"]:
            raise KeyboardInterrupt
        return train(trainer)

    monkeypatch.setattr(SasrecTrainer, "run", noted)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, SplitConfig(), prepare, tmp_path / "out")
    run(CONFIG, SplitConfig(), prepare, tmp_path / "out")
    assert trained == ["0", "1", "1"]


def test_the_points_share_the_minutes(prepare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    train = SasrecTrainer.run

    def noted(trainer: SasrecTrainer) -> Fitted:
        given.append(trainer.config.max_minutes)
        return train(trainer)

    monkeypatch.setattr(SasrecTrainer, "run", noted)
    run(CONFIG, SplitConfig(), prepare, tmp_path / "out")
    assert given == [5, 5]
