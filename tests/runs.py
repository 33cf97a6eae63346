"""A whole training run so small that it takes seconds: the sample shop, its settings, and a shop with ready IDs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from training.run_log import RunLog
from training.sample.generate import SampleConfig, generate
from training.trainer import Trainer

TINY = """
[embed.modalities.text]
kind = "tfidf"
dim = 8

[embed.modalities.image]
kind = "picture"
dim = 8

[quantize]
levels = 2
codes = 16
projection = 16
widths = [16]
latent = 8
epochs = 4
device = "cpu"
loss = { contrast = 0.1, contrast_from = 2 }
pseudo_labels = { starts = 1 }

[assign]
device = "cpu"

[generate]
max_history = 5
batch_size = 256
epochs = 2
beam = 5
device = "cpu"
precision = "float32"
sizes = { d_model = 16, d_ff = 32, heads = 2, d_head = 8, encoder_layers = 1, decoder_layers = 1 }

[evaluate]
beam = 10
device = "cpu"

[export]
checked_histories = 4
int8 = true
beams = [5]
"""

IMPORTED = """
[prepare]
format = "lcrec"
""" + TINY[TINY.index("[generate]") :]


def write_shop(folder: Path) -> Path:
    """A sample shop of 48 items and 60 users."""
    generate(SampleConfig(items=48, users=60, image_size=32, missing_images=0.1), folder)
    return folder


def write_imported_shop(folder: Path) -> Path:
    """Seven items with semantic IDs of their own, two on one text ID, and four users."""
    folder.mkdir(parents=True)
    sequences = {f"u{user}": [(user + step) % 7 for step in range(5)] for user in range(4)}
    text = {str(item): [f"<a_{item % 6}>", "<b_0>"] for item in range(7)}
    image = {str(item): [f"<A_{item // 3}>", f"<B_{item % 3}>"] for item in range(7)}
    (folder / "Toys.item2id").write_text("".join(f"item-{item}\t{item}\n" for item in range(7)))
    files = {"Toys.inter.json": sequences, "Toys.index_lemb.json": text, "Toys.index_vitemb.json": image}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@contextmanager
def killed_in_epoch(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is run here is broken off when the generator's training validates after this epoch."""
    validate = Trainer._validate

    def break_off(trainer: Trainer, epoch: int, run_log: RunLog) -> None:
        if epoch == number:
            raise KeyboardInterrupt
        validate(trainer, epoch, run_log)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_validate", break_off)
        with pytest.raises(KeyboardInterrupt):
            yield
