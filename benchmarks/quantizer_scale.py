"""Time and memory of the cross-modal quantizer on a million items: ``python -m benchmarks.quantizer_scale``.

Generates clustered embeddings of two modalities into a folder, maps them as the quantize stage does, and runs its
parts: the start (K-means for the pseudo-labels of both modalities and for the codebooks), epochs with all terms of the
loss, and a check of the whole catalog. Prints a JSON line for each part; peaks include mapped pages of embeddings.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from training.devices import pick_device
from training.embedded_items import EmbeddedItems, read_embedded_items
from training.memory import peak_memory_mib, reset_peak_memory
from training.quantizer_config import FitQuantizerConfig
from training.quantizer_loss import LossConfig
from training.quantizer_trainer import QuantizerTrainer

MODALITIES = ("text", "image")
CENTRES, CHUNK = 5_000, 50_000
MISSING = 0.02  # share of the items that lack a picture


def write_embeddings(folder: Path, items: int, width: int) -> None:
    """Vectors around random centres, which both modalities of an item share in part; items without one have noise."""
    rng = np.random.default_rng(0)
    centre = rng.integers(0, CENTRES, items)
    for name in MODALITIES:
        centres = rng.standard_normal((CENTRES, width), dtype=np.float32)
        own = centre if name == "text" else np.where(rng.random(items) < 0.5, centre, centre[::-1])
        rows = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (items, width))
        for start in range(0, items, CHUNK):
            chosen = own[start : start + CHUNK]
            rows[start : start + CHUNK] = centres[chosen] + rng.standard_normal((len(chosen), width), dtype=np.float32)
        rows.flush()
        np.save(folder / f"{name}.present.npy", rng.random(items) >= (0.0 if name == "text" else MISSING))


def measure(config: FitQuantizerConfig, items: EmbeddedItems) -> Iterator[dict[str, object]]:
    """Runs the parts of the quantize stage, each with its time, and the peak memory after it."""
    trainer = QuantizerTrainer(config, items, pick_device(config.device))
    parts: list[tuple[str, Callable[[], object]]] = [
        ("start", trainer.start),
        *((f"epoch {epoch + 1}", trainer.train_epoch) for epoch in range(config.epochs)),
        ("check", trainer.check),
    ]
    for name, part in parts:
        wall, processor = time.perf_counter(), time.process_time()
        part()
        yield {
            "part": name,
            "seconds": round(time.perf_counter() - wall, 1),
            "processor_seconds": round(time.process_time() - processor, 1),
            "peak_mib": peak_memory_mib(),
        }


def main() -> None:
    """Reads the command line and prints the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--published-sizes", action="store_true", help="MACRec's wide encoder")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    small = {} if arguments.published_sizes else {"projection": 256, "widths": (256, 128, 64)}
    config = FitQuantizerConfig.model_validate(small | {"epochs": arguments.epochs, "loss": LossConfig(contrast=0.1)})
    with tempfile.TemporaryDirectory() as folder:
        write_embeddings(Path(folder), arguments.items, arguments.width)
        reset_peak_memory()
        for found in measure(config, read_embedded_items(Path(folder), MODALITIES)):
            sys.stdout.write(json.dumps({"benchmark": "quantizer_scale", **vars(arguments), **found}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
