"""Immutable columns of strings that stay on disk: UTF-8 bytes and offsets, memory-mapped, with an index to search by.

At ten million rows a Python list or dict of strings costs gigabytes; these columns cost their bytes, 8 bytes a row for
the offsets and 4 a row for the index, and processes on one machine share them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError

KEY_BYTES = 7
MAX_TOGETHER = 40
"""Bytes of the longest string that is searched for together with others."""
FEW = 32
"""Strings that are found faster one by one."""
AT_ONCE = 1024
NO_ROW = -1


class StringColumn:
    """N strings in a fixed order; ``column[i]`` decodes one of them."""

    def __init__(self, blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Wraps the UTF-8 bytes ``(T,)`` of all strings and where each begins ``(N + 1,)``."""
        self.blob = blob
        self.offsets = offsets
        self._bytes = blob.data

    @classmethod
    def build(cls, strings: Iterable[str]) -> Self:
        """Packs strings, in the order given."""
        blob = bytearray()
        ends = [0]
        for string in strings:
            blob += string.encode()
            ends.append(len(blob))
        return cls(np.frombuffer(bytes(blob), dtype=np.uint8), np.array(ends, dtype=np.int64))

    def __len__(self) -> int:
        """N."""
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        """The string of a row, 0 to N - 1."""
        return self.raw(row).decode()

    def raw(self, row: int) -> bytes:
        """The UTF-8 bytes of a row.

        Raises:
            IndexError: if the row is not 0 to N - 1; rows are not counted from the end.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a column with {len(self)} rows")
        return bytes(self._bytes[int(self.offsets[row]) : int(self.offsets[row + 1])])

    def save(self, folder: Path, name: str) -> None:
        """Writes ``<name>.bin`` and ``<name>.offsets.npy``."""
        self.blob.tofile(folder / f"{name}.bin")
        np.save(folder / f"{name}.offsets.npy", self.offsets)

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Maps what :meth:`save` wrote; only the pages that are read come into memory."""
        return cls(_map_bytes(folder / f"{name}.bin"), map_array(folder / f"{name}.offsets.npy"))


class StringTable(StringColumn):
    """N distinct strings that can be found by value."""

    def __init__(
        self, blob: NDArray[np.uint8], offsets: NDArray[np.int64], order: NDArray[np.int32] | None = None
    ) -> None:
        """Wraps a column and the rows in ascending order of their bytes ``(N,)``, which is worked out if not given.

        Raises:
            DataError: if a string occurs twice.
        """
        super().__init__(blob, offsets)
        self.order = self._sort() if order is None else order

    def find(self, string: str) -> int | None:
        """The row that holds ``string``, by binary search; ``None`` if there is none."""
        wanted = string.encode(errors="surrogatepass")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.raw(int(self.order[middle])) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self):
            return None
        row = int(self.order[low])
        return row if self.raw(row) == wanted else None

    def find_rows(self, strings: Sequence[str]) -> NDArray[np.int64]:
        """The row of each string ``(n,)`` int64, -1 of one that does not exist; short ones are searched for at once."""
        encoded = [string.encode(errors="surrogatepass") for string in strings]
        together = [
            place
            for place, each in enumerate(encoded)
            if len(encoded) >= FEW and len(self.blob) and len(each) <= MAX_TOGETHER and not each.endswith(b"\0")
        ]
        rows = np.full(len(encoded), NO_ROW, dtype=np.int64)
        # In their order and some at a time, so that what is looked at stays in the processor's cache.
        together.sort(key=encoded.__getitem__)
        for start in range(0, len(together), AT_ONCE):
            places = together[start : start + AT_ONCE]
            rows[places] = self._find_short([encoded[place] for place in places])
        for place in set(range(len(encoded))).difference(together):
            row = self.find(strings[place])
            rows[place] = NO_ROW if row is None else row
        return rows

    def save(self, folder: Path, name: str) -> None:
        """Writes ``<name>.bin``, ``<name>.offsets.npy`` and ``<name>.order.npy``."""
        super().save(folder, name)
        np.save(folder / f"{name}.order.npy", self.order)

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Maps what :meth:`save` wrote."""
        column = StringColumn.load(folder, name)
        return cls(column.blob, column.offsets, map_array(folder / f"{name}.order.npy"))

    def _find_short(self, strings: list[bytes]) -> NDArray[np.int64]:
        """Rows of strings ``(n,)`` of at most MAX_TOGETHER bytes, by one binary search for all of them."""
        # One byte more than the longest, so that a row which only begins with it sorts behind it.
        width = max(map(len, strings)) + 1
        wanted = np.array(strings, dtype=f"S{width}")
        low, high = np.zeros(len(wanted), dtype=np.int64), np.full(len(wanted), len(self), dtype=np.int64)
        for _ in range(len(self).bit_length()):
            middle = np.minimum((low + high) // 2, len(self) - 1)
            less = (self._beginnings(self.order[middle], width) < wanted) & (low < high)
            low, high = np.where(less, middle + 1, low), np.where(less, high, np.minimum(high, middle))
        rows = self.order[np.minimum(low, len(self) - 1)].astype(np.int64)
        # Trailing NUL bytes do not count in these comparisons, so the lengths have to agree as well.
        lengths = np.array([len(string) for string in strings])
        same = (self._beginnings(rows, width) == wanted) & (self.offsets[rows + 1] - self.offsets[rows] == lengths)
        return np.where(same, rows, NO_ROW)

    def _beginnings(self, rows: NDArray[np.integer], width: int) -> NDArray[np.bytes_]:
        """The first ``width`` bytes of each row ``(n,)``."""
        starts, steps = self.offsets[rows], np.arange(width)
        taken = self.blob.take(starts[:, None] + steps, mode="clip")
        taken[steps >= (self.offsets[rows + 1] - starts)[:, None]] = 0
        beginnings: NDArray[np.bytes_] = taken.view(f"S{width}")[:, 0]
        return beginnings

    def _sort(self) -> NDArray[np.int32]:
        """Rows by their bytes: seven bytes at a time, and only rows that still tie are looked at again."""
        order = np.arange(len(self), dtype=np.int64)
        tied = np.arange(len(self))
        group = np.zeros(len(self), dtype=np.int64)
        depth = 0
        while len(tied):
            keys = self._keys(order[tied], depth)
            by_key = np.lexsort((keys, group))
            order[tied] = order[tied][by_key]
            group, keys = group[by_key], keys[by_key]
            same = (keys[1:] == keys[:-1]) & (group[1:] == group[:-1])
            if (same & (keys[1:] & np.uint64(255) < KEY_BYTES)).any():
                twice = int(order[tied][1:][same][0])
                raise DataError(f"{self[twice]!r} occurs twice; ids must be distinct: remove or rename one")
            in_tie = np.concatenate([[False], same]) | np.concatenate([same, [False]])
            group = np.cumsum(np.concatenate([[True], ~same]))[in_tie]
            tied = tied[in_tie]
            depth += KEY_BYTES
        return order.astype(np.int32)

    def _keys(self, rows: NDArray[np.int64], depth: int) -> NDArray[np.uint64]:
        """Seven bytes of each row from ``depth`` on, and behind them how many there were, as integers that sort alike.

        The count makes a string sort before itself followed by NUL; a count under seven says that the string ends here.
        """
        starts, ends = self.offsets[rows] + depth, self.offsets[rows + 1]
        keys = np.zeros(len(rows), dtype=np.uint64)
        for step in range(KEY_BYTES):
            inside = starts + step < ends
            byte = np.zeros(len(rows), dtype=np.uint64)
            byte[inside] = self.blob[(starts + step)[inside]]
            keys = (keys << np.uint64(8)) | byte
        present = np.clip(ends - starts, 0, KEY_BYTES).astype(np.uint64)
        packed: NDArray[np.uint64] = (keys << np.uint64(8)) | present
        return packed


def map_array(path: Path) -> NDArray[Any]:
    """A saved array, memory-mapped read-only, as a plain ndarray (whose slices are cheaper than a memmap's)."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _map_bytes(path: Path) -> NDArray[np.uint8]:
    """A file as bytes, memory-mapped; a file of no bytes cannot be mapped."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
