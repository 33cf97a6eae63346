"""The quantize stage end to end on a few items: what it writes, what it keeps, and that a kill changes nothing."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.quantizer import load_quantizer
from tests.training.embeddings_on_disk import write_embeddings
from training.embedded_items import read_embedded_items
from training.fit_quantizer import REPORT_FILE, FitQuantizerConfig, run
from training.quantizer_checkpoint import CHECKPOINT_FILE, restore_checkpoint, write_checkpoint
from training.quantizer_config import Sizes, default_sizes
from training.quantizer_loss import LossConfig
from training.quantizer_quality import Quality, measure_quality
from training.quantizer_trainer import Kept, QuantizerTrainer
from training.run_log import read_metrics

MODALITIES = ("text", "image", "sound")


def config(**changes: Any) -> FitQuantizerConfig:
    sizes = {"projection": 16, "widths": (16,), "latent": 4, "codes": 8, "batch": 20, "epochs": 6, "device": "cpu"}
    return FitQuantizerConfig.model_validate({**sizes, "checkpoint_seconds": 0, **changes})


def curve(folder: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(folder)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_modalities_trains_and_reports(tmp_path: Path, count: int) -> None:
    names = MODALITIES[:count]
    run(config(), names, write_embeddings(tmp_path / "embed", modalities=names), tmp_path / "out")
    report = json.loads((tmp_path / "out" / REPORT_FILE).read_text())
    assert (report["items"], report["codes"], report["batch"], report["epochs"]) == (60, 8, 20, 6)
    steps = read_metrics(tmp_path / "out")
    assert [row["step"] for row in steps] == [2, 4, 6]
    model = load_quantizer(tmp_path / "out")
    items = read_embedded_items(tmp_path / "embed", names)
    for modality, name in enumerate(names):
        summary = report["modalities"][name]
        assert summary["present"] == (60 if modality == 0 else 55)
        rows, present = torch.from_numpy(items.embeddings[modality]), torch.from_numpy(items.present[modality])
        quality = measure_quality(model.part(modality), rows, present)
        assert quality.collision_rate == summary["collision_rate"]
        assert quality.reconstruction_error == pytest.approx(summary["reconstruction_error"])
        assert summary["collision_rate"] == min(row[f"collision_rate/{name}"] for row in steps)
        assert (f"with_positive/{name}" in steps[0]) == (count > 1)
    assert not (tmp_path / "out" / CHECKPOINT_FILE).exists()


def test_training_reconstructs_better_than_it_began(tmp_path: Path) -> None:
    run(config(epochs=60, learning_rate=3e-3), ("text",), write_embeddings(tmp_path / "embed"), tmp_path / "out")
    errors = [row["reconstruction_error/text"] for row in read_metrics(tmp_path / "out")]
    assert errors[-1] < 0.6 * errors[0]


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(tmp_path: Path) -> None:
    embeddings = write_embeddings(tmp_path / "embed")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(config(seed=seed, epochs=4), ("text", "image"), embeddings, tmp_path / name)
    assert curve(tmp_path / "a") == curve(tmp_path / "b") != curve(tmp_path / "c")


def test_a_killed_run_goes_on_with_the_same_curve_and_the_same_weights(tmp_path: Path) -> None:
    embeddings = write_embeddings(tmp_path / "embed")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    script = (
        "import sys; from pathlib import Path; from training.fit_quantizer import FitQuantizerConfig, run; "
        "run(FitQuantizerConfig.model_validate_json(sys.argv[1]), ('text', 'image'), *map(Path, sys.argv[2:]))"
    )
    endless = config(epochs=1_000_000).model_dump_json()
    process = subprocess.Popen([sys.executable, "-c", script, endless, str(embeddings), str(killed)])
    deadline = time.monotonic() + 120
    while not (killed / CHECKPOINT_FILE).exists() or len(read_metrics(killed)) < 3:
        assert process.poll() is None, "training stopped by itself"
        assert time.monotonic() < deadline, "no checkpoint within two minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    epochs = int(read_metrics(killed)[-1]["step"]) + 6
    run(config(epochs=epochs), ("text", "image"), embeddings, killed)
    run(config(epochs=epochs), ("text", "image"), embeddings, whole)
    assert curve(killed) == curve(whole)
    resumed, straight = load_quantizer(killed).state_dict(), load_quantizer(whole).state_dict()
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)


@pytest.mark.parametrize("damage", [b"", b"no tensors here"])
def test_a_checkpoint_that_cannot_be_used_is_left_aside_with_a_warning(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = write_embeddings(tmp_path / "embed")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / CHECKPOINT_FILE).write_bytes(damage)
    run(config(epochs=2), ("text",), embeddings, tmp_path / "out")
    assert "damaged checkpoint" in caplog.text
    assert len(read_metrics(tmp_path / "out")) == 1


def test_a_checkpoint_of_other_settings_is_not_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    items = read_embedded_items(write_embeddings(tmp_path), ("text",))
    trainer, fresh = (QuantizerTrainer(config(), items, torch.device("cpu")) for _ in range(2))
    trainer.start()
    trainer.train_epoch()
    trainer.check()
    write_checkpoint(tmp_path, trainer, "these settings", seconds=7.5)
    assert restore_checkpoint(tmp_path, fresh, "others") is None
    assert "other settings" in caplog.text
    assert fresh.epoch == 0
    assert restore_checkpoint(tmp_path, fresh, "these settings") == 7.5
    assert fresh.epoch == 1


def test_standardising_makes_the_embeddings_scale_irrelevant(tmp_path: Path) -> None:
    embeddings = write_embeddings(tmp_path / "embed")
    for name, factor in (("one", 1.0), ("large", 1024.0)):
        rows = np.load(embeddings / "text.npy") * np.float32(factor)
        np.save(embeddings / "text.npy", rows)
        run(config(epochs=4), ("text",), embeddings, tmp_path / name)
    for row, other in zip(curve(tmp_path / "one"), curve(tmp_path / "large"), strict=True):
        assert row == pytest.approx(other, rel=1e-3)


def test_imputed_rows_are_neither_clustered_nor_part_of_the_standardisation(tmp_path: Path) -> None:
    items = read_embedded_items(write_embeddings(tmp_path), ("text", "image"))
    trainer = QuantizerTrainer(config(), items, torch.device("cpu"))
    trainer.start()
    assert (trainer.labels[1, -5:] == -1).all()
    assert (trainer.labels[1, :-5] >= 0).all()
    own = torch.from_numpy(items.embeddings[1][:-5])
    torch.testing.assert_close(trainer.model.part(1).standardiser.mean, own.mean(0))


def test_training_stops_when_its_minutes_are_used_up(tmp_path: Path) -> None:
    embeddings = write_embeddings(tmp_path / "embed")
    run(config(epochs=1_000_000, max_minutes=1e-9), ("text",), embeddings, tmp_path / "out")
    assert [row["step"] for row in read_metrics(tmp_path / "out")] == [1]
    assert (tmp_path / "out" / REPORT_FILE).exists()


def test_the_lowest_collision_rate_is_kept_and_reconstruction_decides_among_equals() -> None:
    def quality(rate: float, error: float) -> Quality:
        return Quality(rate, error, [], [])

    for tolerance, expected in ((0.0, [1, 2, 2, 4, 5]), (0.06, [1, 2, 3, 3, 5])):
        kept = Kept(1, quality(0.3, 0.9), 0.3, {})
        epochs = [kept.epoch]
        for epoch, rate, error in ((2, 0.2, 0.8), (3, 0.25, 0.5), (4, 0.2, 0.7), (5, 0.1, 0.9)):
            kept = kept.or_better(epoch, quality(rate, error), {}, tolerance)
            epochs.append(kept.epoch)
        assert epochs == expected


@pytest.mark.parametrize(
    ("items", "sizes"), [(5, (8, 64)), (720, (64, 128)), (1682, (128, 512)), (6250, (256, 1024)), (10**6, (256, 1024))]
)
def test_codes_and_batch_scale_down_with_the_catalog(items: int, sizes: tuple[int, int]) -> None:
    assert default_sizes(items) == sizes
    assert FitQuantizerConfig(codes=16, batch=32).sizes(items) == Sizes(16, 32)


def test_a_contrast_that_would_act_at_no_level_is_refused() -> None:
    with pytest.raises(ValidationError, match="contrast_from 3 is behind the last of 2 levels"):
        FitQuantizerConfig(levels=2)
    FitQuantizerConfig(levels=2, loss=LossConfig(contrast=0))
