"""An index of distinct strings by their hashes: where a string can stand, and whether it does, for many at once.

Rows stand bucket after bucket, with about one row to a bucket, and the bytes of each candidate are compared, so equal
hashes cost time and never a wrong answer. Buckets of more than CROWDED rows, which only an attack on the hash makes,
are left to the caller. Three arrays, 9 bytes a row, memory-mapped, are all there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from model.mapped import map_array
from model.radix import stable_order
from model.string_hash import LONG, WORD, hash_all, hash_one, longer, words

NO_ROW = -1
UNDECIDED = -2
CROWDED = 32
_PARTS = ("starts", "rows", "tags")


class Packed(NamedTuple):
    """n strings: the bytes of all, and where each begins and how long it is, in bytes."""

    blob: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, strings: Sequence[str]) -> Self:
        """Packs strings, lone surrogates included."""
        blob = np.frombuffer("\0".join(strings).encode(errors="surrogatepass"), dtype=np.uint8)
        ends = np.append(np.flatnonzero(blob == 0), len(blob))
        if len(ends) != len(strings):  # none at all, or a string that has a NUL of its own
            lengths = [len(string.encode(errors="surrogatepass")) for string in strings]
            ends = np.cumsum(np.array(lengths, dtype=np.int64) + 1) - 1
        starts = np.concatenate([[0], ends[:-1] + 1])[: len(strings)]
        return cls(blob, starts, ends - starts)

    @classmethod
    def column(cls, blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Self:
        """Strings that follow one another in ``blob``, each from ``offsets`` ``(n + 1,)`` to the next."""
        return cls(blob, offsets[:-1], np.diff(offsets))


@dataclass(frozen=True)
class StringIndex:
    """The index of N strings.

    Attributes:
        starts: ``(N + 1,)`` int32, where each of N buckets begins in ``rows``, and N.
        rows: ``(N,)`` int32, the rows of one bucket after the other, ascending in each.
        tags: ``(N,)`` uint8, the last byte of the hash of each of ``rows``.
    """

    starts: NDArray[np.int32]
    rows: NDArray[np.int32]
    tags: NDArray[np.uint8]

    @classmethod
    def build(cls, strings: Packed) -> Self:
        """Indexes strings, which must be distinct."""
        size = len(strings.starts)
        hashes = hash_all(*strings)
        buckets = _buckets(hashes, size)
        starts = np.zeros(size + 1, dtype=np.int32)
        np.cumsum(np.bincount(buckets, minlength=size), out=starts[1:])
        rows = stable_order(buckets).astype(np.int32)
        return cls(starts, rows, _tags(hashes)[rows])

    def save(self, folder: Path, name: str) -> None:
        """Writes ``<name>.index.starts.npy``, ``<name>.index.rows.npy`` and ``<name>.index.tags.npy``."""
        for part in _PARTS:
            np.save(_file(folder, name, part), getattr(self, part))

    @classmethod
    def load(cls, folder: Path, name: str) -> Self | None:
        """Maps what :meth:`save` wrote; None where nothing was."""
        if not _file(folder, name, _PARTS[0]).exists():
            return None
        return cls(*(map_array(_file(folder, name, part)) for part in _PARTS))

    def candidates(self, string: bytes) -> NDArray[np.int32]:
        """The rows ``(c,)`` of which one may hold ``string``, none if no row does."""
        if not len(self.rows):
            return self.rows
        bucket = ((hash_one(string) >> 32) * len(self.rows)) >> 32
        return self.rows[self.starts[bucket] : self.starts[bucket + 1]]

    def find(self, blob: NDArray[np.uint8], offsets: NDArray[np.int64], wanted: Packed) -> NDArray[np.int64]:
        """The row of each of n strings among those of ``blob`` and ``offsets`` ``(N + 1,)``, which are indexed.

        Returns:
            ``(n,)`` int64, NO_ROW of a string that does not exist, UNDECIDED of one that is long or in a crowded
            bucket.
        """
        found = np.full(len(wanted.starts), NO_ROW, dtype=np.int64)
        if not len(self.rows) or not len(found):
            return found
        hashes = hash_all(*wanted)
        buckets, tags = _buckets(hashes, len(self.rows)).astype(np.int64), _tags(hashes)
        place, end = self.starts[buckets].astype(np.int64), self.starts[buckets + 1]
        undecided = (wanted.lengths > LONG) | (end - place > CROWDED)
        found[undecided] = UNDECIDED
        left = np.flatnonzero((place < end) & ~undecided)
        while len(left):
            slots = place[left]
            alike = np.flatnonzero(self.tags[slots] == tags[left])
            tried, rows = left[alike], self.rows[slots[alike]]
            found[tried] = np.where(_equal(blob, offsets, rows, wanted, tried), rows, NO_ROW)
            place[left] += 1
            left = left[(found[left] == NO_ROW) & (place[left] < end[left])]
        return found


def _file(folder: Path, name: str, part: str) -> Path:
    return folder / f"{name}.index.{part}.npy"


def _tags(hashes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The last byte ``(n,)`` of each hash, of which the bucket says nothing."""
    return hashes.astype(np.uint8)


def _buckets(hashes: NDArray[np.uint64], count: int) -> NDArray[np.uint32]:
    """The bucket ``(n,)`` of each hash, 0 to ``count - 1``: the upper half, scaled down."""
    return ((hashes >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.uint32)


def _equal(
    blob: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    wanted: Packed,
    which: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether each row ``(c,)`` holds the string of ``wanted`` that ``which`` ``(c,)`` names."""
    here, there, lengths = offsets[rows], wanted.starts[which], wanted.lengths[which]
    same: NDArray[np.bool_] = offsets[rows + 1] - here == lengths
    compared = np.where(same, lengths, 0)
    for depth in range(0, int(compared.max(initial=0)), WORD):
        rest = longer(compared, depth)
        left = compared[rest] - depth
        same[rest] &= words(blob, here[rest] + depth, left) == words(wanted.blob, there[rest] + depth, left)
    return same
