"""Immutable columns of strings that stay on disk: UTF-8 bytes and offsets, memory-mapped, with an index to find them.

At ten million rows a Python list or dict of strings costs gigabytes. These columns cost their bytes and 8 a row for the
offsets, and where strings are looked for, 4 a row for their order and 9 for the index; processes on one machine share
them.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from model.mapped import map_array, map_bytes
from model.string_index import CROWDED, NO_ROW, UNDECIDED, Packed, StringIndex

KEY_BYTES = 7
FEW = 32
"""Strings that are found faster one by one."""


class StringPacker:
    """Takes strings one by one and keeps no object of any."""

    def __init__(self) -> None:
        """Begins with none."""
        self._blob = bytearray()
        self._ends = array("q", [0])

    def add(self, string: str) -> None:
        """Takes the next string."""
        self._blob += string.encode()
        self._ends.append(len(self._blob))

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The bytes ``(T,)`` of all N strings and where each begins ``(N + 1,)``; no more can be added then."""
        return np.frombuffer(self._blob, dtype=np.uint8), np.frombuffer(self._ends, dtype=np.int64)


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
        packer = StringPacker()
        for string in strings:
            packer.add(string)
        return cls(*packer.arrays())

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
        return cls(map_bytes(folder / f"{name}.bin"), map_array(folder / f"{name}.offsets.npy"))


class StringTable(StringColumn):
    """N distinct strings that can be found by value."""

    def __init__(
        self,
        blob: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        order: NDArray[np.int32] | None = None,
        index: StringIndex | None = None,
    ) -> None:
        """Wraps a column, its rows in ascending order of their bytes ``(N,)``, and its index; makes what is not given.

        Raises:
            DataError: if a string occurs twice.
        """
        super().__init__(blob, offsets)
        self.order = self._sort() if order is None else order
        self.index = StringIndex.build(Packed.column(blob, offsets)) if index is None else index

    def find(self, string: str) -> int | None:
        """The row that holds ``string``; ``None`` if there is none."""
        wanted = string.encode(errors="surrogatepass")
        candidates = self.index.candidates(wanted)
        if len(candidates) > CROWDED:
            return self._search(wanted)
        return next((row for row in candidates.tolist() if self.raw(row) == wanted), None)

    def find_rows(self, strings: Sequence[str]) -> NDArray[np.int64]:
        """The row of each string ``(n,)`` int64, NO_ROW of one that does not exist; many are looked for at once."""
        if len(strings) < FEW:
            found = (self.find(string) for string in strings)
            return np.array([NO_ROW if row is None else row for row in found], dtype=np.int64)
        rows = self.index.find(self.blob, self.offsets, Packed.of(strings))
        for place in np.flatnonzero(rows == UNDECIDED).tolist():
            row = self.find(strings[place])
            rows[place] = NO_ROW if row is None else row
        return rows

    def save(self, folder: Path, name: str) -> None:
        """Writes ``<name>.bin``, ``<name>.offsets.npy``, ``<name>.order.npy`` and the index."""
        super().save(folder, name)
        np.save(folder / f"{name}.order.npy", self.order)
        self.index.save(folder, name)

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Maps what :meth:`save` wrote; the index of a table that was saved without one is made.

        Raises:
            ValueError: if the parts are not of one number of strings.
        """
        column = StringColumn.load(folder, name)
        order, index = map_array(folder / f"{name}.order.npy"), StringIndex.load(folder, name)
        if not len(column) == len(order) == (len(order) if index is None else len(index.rows)):
            raise ValueError(f"{name} has {len(column)} strings, but order or index are of another number of them")
        return cls(column.blob, column.offsets, order, index)

    def _search(self, wanted: bytes) -> int | None:
        """The row that holds ``wanted``, by binary search."""
        place = bisect_left(self.order, wanted, key=lambda row: self.raw(int(row)))
        if place == len(self):
            return None
        row = int(self.order[place])
        return row if self.raw(row) == wanted else None

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
