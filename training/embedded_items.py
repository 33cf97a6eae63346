"""The embeddings of all modalities as the embed stage left them, mapped from disk and checked."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError

_ROWS = 65_536  # read at a time when every number is looked at


@dataclass(frozen=True)
class EmbeddedItems:
    """N items in m modalities.

    Attributes:
        modalities: names.
        embeddings: per modality ``(N, width)`` float32, mapped copy-on-write; rows without the modality are imputed.
        present: ``(m, N)`` bool, which rows are the item's own and not imputed.
    """

    modalities: tuple[str, ...]
    embeddings: tuple[NDArray[np.float32], ...]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.present.shape[1])

    @property
    def widths(self) -> tuple[int, ...]:
        """The embedding width of each modality."""
        return tuple(rows.shape[1] for rows in self.embeddings)

    def fingerprint(self) -> str:
        """SHA-256 of all values, so that work on other embeddings is not taken up by mistake."""
        digest = hashlib.sha256(np.packbits(self.present).tobytes())
        for rows in self.embeddings:
            digest.update(repr(rows.shape).encode())
            for start in range(0, len(rows), _ROWS):
                digest.update(np.ascontiguousarray(rows[start : start + _ROWS]).data)
        return digest.hexdigest()


def read_embedded_items(folder: Path, modalities: tuple[str, ...]) -> EmbeddedItems:
    """Reads ``<modality>.npy`` and ``<modality>.present.npy`` of every modality.

    Raises:
        DataError: if a file is missing or is no matrix, the modalities disagree in their number of items, a number is
            not finite, or no item has one of the modalities.
    """
    embeddings = tuple(_matrix(folder / f"{name}.npy") for name in modalities)
    present = [_array(folder / f"{name}.present.npy").astype(bool) for name in modalities]
    sizes = {name: (len(rows), len(own)) for name, rows, own in zip(modalities, embeddings, present, strict=True)}
    if len({size for pair in sizes.values() for size in pair}) != 1:
        raise DataError(f"embeddings and presence differ in their number of items, {sizes}: rerun the embed stage")
    for name, own in zip(modalities, present, strict=True):
        if not own.any():
            raise DataError(f"no item has the modality {name!r}: leave it out of the configuration")
    return EmbeddedItems(modalities, embeddings, np.stack(present))


def _matrix(path: Path) -> NDArray[np.float32]:
    stored = _array(path)
    if stored.ndim != 2 or stored.dtype != np.float32:
        raise DataError(f"{path} must be a float32 matrix, not {stored.dtype} of shape {stored.shape}")
    rows: NDArray[np.float32] = stored.view(np.float32)
    for start in range(0, len(rows), _ROWS):
        finite = np.isfinite(rows[start : start + _ROWS]).all(axis=1)
        if not finite.all():
            raise DataError(f"{path} holds NaN or infinity, first in row {start + int(finite.argmin())}")
    return rows


def _array(path: Path) -> NDArray[np.generic]:
    try:
        array: NDArray[np.generic] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}): run the embed stage first") from error
    return array
