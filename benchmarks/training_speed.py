"""Targets a second in training, against the released recipe's way of working: ``python -m benchmarks.training_speed``.

All ways learn the next item in two modalities from the same generated histories, in batches of as many targets, with a
transformer of the published sizes, dropout included:

- prefix-wise: as published, one example for each prefix and modality;
- causal: one pass over a window of whole items trains every next item of it, in both modalities;
- released: Hugging Face's T5 with 32,128 + 2,048 tokens, strings that are tokenised and padded batch by batch; in
  float32, and in the precision that this project trains in.

Rounds of all ways alternate in one process. Prints one JSON line: the median targets a second of each way, and the
median over rounds of the ratio to the faster of the released ones.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from benchmarks.released_recipe import ReleasedRecipe
from model.fusion import FusionConfig
from model.generator_shape import GeneratorShape
from model.semantic_ids import PAD, IdSpace
from training.batches import Batch, batches_of
from training.devices import Device, mixed_precision, pick_device
from training.generator_config import FitGeneratorConfig
from training.generator_data import GeneratorData
from training.interactions import Interactions
from training.trainer import Trainer

ITEMS, MAX_HISTORY = 6_250, 20
SPACE = IdSpace(("text", "image"))
RELEASED = ("released, float32", "released, mixed")


class Way(Protocol):
    """A way of training."""

    def step(self) -> int:
        """One update; returns how many targets it learned from."""


class Own:
    """This project's training."""

    def __init__(self, data: GeneratorData, shape: GeneratorShape, batch: int, device: Device, out: Path) -> None:
        """Next-item tasks with the published sizes."""
        config = FitGeneratorConfig(
            shape=shape, max_history=MAX_HISTORY, batch_size=batch, explicit="none", implicit_weight=0.0, device=device
        )
        self.trainer = Trainer(config, data, FusionConfig(), out)
        self.trainer.generator.train()
        self.batches = self._batches()

    def step(self) -> int:
        """One update, its batch gathered."""
        batch = next(self.batches)
        self.trainer.train_step(batch, done=0.5)
        return int((batch.targets[..., 0] != PAD).sum())

    def _batches(self) -> Iterator[Batch]:
        for epoch in range(1_000_000):
            examples, plan = self.trainer.epochs.plan(epoch)
            yield from batches_of(self.trainer.builder, examples.to(self.trainer.device), plan)


def histories(users: int) -> GeneratorData:
    """Lengths like the Instruments set's, 5 to 22 events with a mean of 8 (two are held out); random items and IDs."""
    rng = np.random.default_rng(0)
    lengths = np.minimum(4 + rng.geometric(0.25, users), MAX_HISTORY + 2)
    items = rng.integers(0, ITEMS, lengths.sum(), dtype=np.int32)
    events = Interactions(
        [f"user-{user}" for user in range(users)],
        np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))),
        items,
        np.arange(len(items)),
    )
    numbers = np.stack([rng.choice(SPACE.codes**SPACE.levels, ITEMS, replace=False) for _ in SPACE.modalities])
    codes = (numbers[..., None] // SPACE.codes ** np.arange(SPACE.levels) % SPACE.codes).astype(np.uint8)
    return GeneratorData.build(events, SPACE, codes, [f"item-{item}" for item in range(ITEMS)])


def targets_a_second(way: Way, seconds: float, device: torch.device) -> float:
    """Steps for about so many seconds."""
    started, targets = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        targets += way.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return targets / (time.perf_counter() - started)


def measure(arguments: argparse.Namespace, out: Path) -> dict[str, object]:
    """All ways in turn, after one step of each to warm up."""
    torch.set_num_threads(arguments.threads)
    data, batch, device = histories(arguments.users), arguments.batch, pick_device(arguments.device)
    causal = GeneratorShape(position="item", causal=True, softmax="catalog", start="state")
    ways: dict[str, Way] = {
        "prefix-wise": Own(data, GeneratorShape(), batch, arguments.device, out),
        "causal": Own(data, causal, batch, arguments.device, out),
        RELEASED[0]: ReleasedRecipe(data, MAX_HISTORY, batch, device, "float32"),
        RELEASED[1]: ReleasedRecipe(data, MAX_HISTORY, batch, device, "auto"),
    }
    for way in ways.values():
        way.step()
    rounds = [
        {name: targets_a_second(way, arguments.seconds, device) for name, way in ways.items()}
        for _ in range(arguments.rounds)
    ]
    ratios = [
        {name: rate / max(found[released] for released in RELEASED) for name, rate in found.items()} for found in rounds
    ]
    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "mixed_precision": mixed_precision(device, "auto")._enabled,
        "batch": batch,
        "targets_a_second": {name: round(float(np.median([one[name] for one in rounds]))) for name in ways},
        "times_the_faster_released": {name: round(float(np.median([one[name] for one in ratios])), 2) for name in ways},
    }


def main() -> None:
    """Reads the command line and prints the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each way in each round")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(parser.parse_args(), Path(folder))
    sys.stdout.write(json.dumps({"benchmark": "training_speed", **found}) + "\n")


if __name__ == "__main__":
    main()
