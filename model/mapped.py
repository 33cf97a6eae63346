"""Files mapped into memory, read-only: only the pages that are read are loaded, and processes share them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def map_array(path: Path) -> NDArray[Any]:
    """A saved array, memory-mapped read-only, as a plain ndarray (whose slices are cheaper than a memmap's)."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def map_bytes(path: Path) -> NDArray[np.uint8]:
    """A file as bytes, memory-mapped; a file of no bytes cannot be mapped."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
