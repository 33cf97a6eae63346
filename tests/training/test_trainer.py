import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.errors import ConfigError
from model.fusion import FusionConfig
from model.generator import WEIGHTS_FILE, Generator
from tests.toys import cycles, data_of, fit_config, random_codes
from training.checkpoint import load_checkpoint
from training.generator_config import FitGeneratorConfig
from training.run_log import METRICS_FILE, RunLog, read_metrics
from training.trainer import CHECKPOINT_FILE, Trainer

ALWAYS = 1e-9
ROOT = Path(__file__).parents[2]
CONFIG = fit_config(targets_per_user=2, checkpoint_minutes=ALWAYS)
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from model.fusion import FusionConfig
from tests.toys import cycles, data_of, random_codes
from training.generator_config import FitGeneratorConfig
from training.trainer import Trainer

class Killed(Trainer):
    def train_step(self, batch, done):
        if self.position.step == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_step(batch, done)

config = FitGeneratorConfig.model_validate_json(sys.argv[1])
Killed(config, data_of(cycles(), random_codes(12)), FusionConfig(), Path(sys.argv[2])).run()
"""


class Interrupted(Trainer):
    """Fails during the validation of the second epoch, after that epoch's record."""

    def _validate(self, epoch: int, run_log: RunLog) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        super()._validate(epoch, run_log)


def train(config: FitGeneratorConfig, out: Path, kind: type[Trainer] = Trainer) -> Trainer:
    out.mkdir(exist_ok=True)
    trainer = kind(config, data_of(cycles(), random_codes(12)), FusionConfig(), out)
    trainer.run()
    return trainer


def curve(folder: Path) -> list[dict[str, float]]:
    """The metrics without times."""
    return [{k: v for k, v in record.items() if not k.endswith("seconds")} for record in read_metrics(folder)]


def values(folder: Path, name: str) -> list[float]:
    return [record[name] for record in read_metrics(folder) if name in record]


def assert_same_run(folder: Path, reference: Path) -> None:
    assert curve(folder) == curve(reference)
    weights, expected = load_file(folder / WEIGHTS_FILE), load_file(reference / WEIGHTS_FILE)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of CONFIG."""
    folder = tmp_path_factory.mktemp("reference")
    train(CONFIG, folder)
    return folder


def test_the_same_seed_trains_the_same_weights_and_another_one_others(tmp_path: Path, reference: Path) -> None:
    train(CONFIG, tmp_path / "again")
    assert_same_run(tmp_path / "again", reference)
    train(CONFIG.model_copy(update={"seed": 1}), tmp_path / "other")
    assert curve(tmp_path / "other") != curve(reference)


def test_a_run_killed_inside_an_epoch_goes_on_exactly(tmp_path: Path, reference: Path) -> None:
    steps = int(values(reference, "step")[-1]) // CONFIG.epochs
    assert steps >= 3
    killed_at = steps + 2
    command = [sys.executable, "-c", KILLED_RUN, CONFIG.model_dump_json(), str(tmp_path), str(killed_at)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    state = load_checkpoint(tmp_path / CHECKPOINT_FILE, torch.device("cpu"))
    assert state is not None
    assert tuple(state["position"]) == (1, 2, killed_at)
    train(CONFIG, tmp_path)
    assert_same_run(tmp_path, reference)


def test_a_run_that_fails_in_validation_repeats_no_record(tmp_path: Path, reference: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, tmp_path, Interrupted)
    train(CONFIG, tmp_path)
    assert_same_run(tmp_path, reference)


def test_a_rerun_from_the_last_epoch_s_checkpoint_drops_newer_records(tmp_path: Path, reference: Path) -> None:
    config = CONFIG.model_copy(update={"checkpoint_minutes": 60.0})
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, Interrupted)
    assert len(read_metrics(tmp_path)) == 3  # two epochs' losses, one validation
    train(config, tmp_path)
    assert_same_run(tmp_path, reference)


def test_a_finished_run_trains_no_further(tmp_path: Path) -> None:
    config = fit_config(epochs=1)
    train(config, tmp_path)
    before = (tmp_path / WEIGHTS_FILE).stat().st_mtime_ns, (tmp_path / METRICS_FILE).read_text()
    train(config, tmp_path)
    assert before == ((tmp_path / WEIGHTS_FILE).stat().st_mtime_ns, (tmp_path / METRICS_FILE).read_text())


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    train(fit_config(epochs=1), tmp_path)
    with pytest.raises(ConfigError, match=r"checkpoint\.pt was made with other settings"):
        train(fit_config(epochs=1, learning_rate=0.5), tmp_path)


def test_a_toy_is_learned(tmp_path: Path) -> None:
    train(fit_config(epochs=30, learning_rate=0.02, warmup=0.1, validate_every=10), tmp_path)
    losses, ranks = values(tmp_path, "train/token_loss"), values(tmp_path, "validation/ndcg@10")
    assert losses[-1] < 0.5 * losses[0]
    assert len(ranks) == 3
    assert ranks[-1] > 0.6  # ten random places among twelve items give 0.38
    rates = values(tmp_path, "train/learning_rate")
    assert max(rates) <= 0.02
    assert rates[-1] < 0.001


def test_the_weights_of_the_best_validation_are_kept(tmp_path: Path) -> None:
    class Scripted(Trainer):
        """Validates for real, then believes that the first validation was the best there can be."""

        def _validate(self, epoch: int, run_log: RunLog) -> None:
            super()._validate(epoch, run_log)
            self.best = 2.0

    train(fit_config(epochs=1), tmp_path / "one")
    trainer = train(fit_config(epochs=3), tmp_path / "three", Scripted)
    assert trainer.best_epoch == 1
    kept = Generator.load(tmp_path / "three")
    assert any(not torch.equal(a, b) for a, b in zip(kept.parameters(), trainer.generator.parameters(), strict=True))


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    trainer = train(fit_config(epochs=10, learning_rate=0.0, patience=2), tmp_path)
    assert trainer.position.epoch == 3  # the first is the best, two more bring nothing
    assert len(values(tmp_path, "validation/ndcg@10")) == 3


def test_minutes_that_are_used_up_stop_at_the_schedules_end_and_leave_weights(tmp_path: Path) -> None:
    trainer = train(fit_config(max_minutes=ALWAYS, validate_every=2), tmp_path)
    assert (trainer.position.epoch, trainer.position.step) == (1, 1)
    assert values(tmp_path, "train/learning_rate") == [0.0]
    assert len(values(tmp_path, "validation/ndcg@10")) == 1
    Generator.load(tmp_path)


@pytest.mark.parametrize(("explicit", "tasks"), [("all", 6), ("items", 4), ("none", 2)])
def test_alignments_can_be_switched_off(tmp_path: Path, explicit: str, tasks: int) -> None:
    trainer = train(fit_config(epochs=1, explicit=explicit, implicit_weight=0.0), tmp_path)
    assert values(tmp_path, "train/implicit_loss") == [0.0]
    assert values(tmp_path, "train/loss") == pytest.approx(values(tmp_path, "train/token_loss"))
    assert len(trainer.tasks) == tasks


def test_without_item_tasks_the_implicit_loss_takes_the_targets(tmp_path: Path) -> None:
    train(fit_config(epochs=1, explicit="none", implicit_weight=0.5), tmp_path)
    (loss,), (token,) = values(tmp_path, "train/loss"), values(tmp_path, "train/token_loss")
    (implicit,) = values(tmp_path, "train/implicit_loss")
    assert implicit > 0
    assert loss == pytest.approx(token + 0.5 * implicit, rel=1e-4)


def test_the_implicit_loss_counts_by_its_weight(tmp_path: Path) -> None:
    train(fit_config(epochs=1, implicit_weight=0.5), tmp_path)
    (loss,), (token,) = values(tmp_path, "train/loss"), values(tmp_path, "train/token_loss")
    (implicit,) = values(tmp_path, "train/implicit_loss")
    assert implicit > 0
    assert loss == pytest.approx(token + 0.5 * implicit, rel=1e-4)


def test_metrics_are_json_lines(tmp_path: Path) -> None:
    train(fit_config(epochs=1), tmp_path)
    records = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 1]
    assert 0 <= records[0]["train/padding"] < 0.5
