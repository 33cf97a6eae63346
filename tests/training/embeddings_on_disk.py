"""Embeddings as the embed stage leaves them, small, for the tests of the stages that read them."""

from pathlib import Path

import numpy as np


def write_embeddings(folder: Path, items: int = 60, modalities: tuple[str, ...] = ("text", "image")) -> Path:
    """Clustered embeddings of 6, 7, ... features; the last five items lack every modality but the first."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(modalities):
        centres = rng.standard_normal((6, 6 + number))
        rows = centres[rng.integers(0, 6, items)] + 0.3 * rng.standard_normal((items, 6 + number))
        present = np.ones(items, dtype=bool)
        present[-5:] = number == 0
        np.save(folder / f"{name}.npy", rows.astype(np.float32))
        np.save(folder / f"{name}.present.npy", present)
    return folder
