"""Embeddings of a run of items, with the rows that could not be made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.encoders import Embeddings, Encoder
from model.errors import DataError

OnBad = Literal["error", "skip"]


class Rows(NamedTuple):
    """Embeddings ``(n, d)`` float32, zeros where an item has none, and why rows were skipped that should have one."""

    values: Embeddings
    skipped: dict[int, str]


class Embedded(NamedTuple):
    """One modality of the whole catalog: its rows and the encoder that embeds new items the same way."""

    rows: Rows
    encoder: Encoder

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which items have the modality ``(N,)``: those whose row is not all zeros."""
        return np.asarray(self.rows.values.any(axis=1))


@dataclass
class BadRows:
    """What becomes of bad rows: with "error" the first one ends the run, with "skip" they are noted and left out."""

    policy: OnBad
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, row: int, item_id: str, reason: str) -> None:
        """Notes that ``row`` is bad.

        Raises:
            DataError: if the policy is "error".
        """
        if self.policy == "error":
            raise DataError(f"item {item_id!r} (row {row}): {reason}; mend it, or set on_bad to 'skip' to leave it out")
        self.reasons[row] = reason


def batches(rows: range, size: int) -> Iterator[range]:
    """Cuts ``rows`` into runs of at most ``size``."""
    for start in range(rows.start, rows.stop, size):
        yield range(start, min(start + size, rows.stop))


def scatter(embedded: Embeddings, rows: Sequence[int], within: range) -> Embeddings:
    """``(len(within), d)`` with ``embedded[i]`` where ``rows[i]`` stands in ``within``, zeros elsewhere."""
    values = np.zeros((len(within), embedded.shape[1]), dtype=np.float32)
    values[np.asarray(rows, dtype=np.int64) - within.start] = embedded
    return values
