"""Work that is done in chunks of rows and can be taken up again: each finished chunk is a file of its own."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.embeddings.rows import Rows, batches
from training.progress import progress


@dataclass(frozen=True)
class Chunks:
    """The chunks of ``rows`` rows in ``folder``, ``size`` rows each; the last one may be shorter."""

    folder: Path
    rows: int
    size: int

    def fill(self, make: Callable[[range], Rows], description: str) -> None:
        """Makes the chunks that are not there yet; a chunk appears whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for rows in progress(self._ranges(), description, total=-(-self.rows // self.size)):
            if not self._path(rows).exists():
                _write(self._path(rows), make(rows))

    def __iter__(self) -> Iterator[tuple[range, Rows]]:
        """Every chunk with the rows that it holds, in order; only after :meth:`fill`."""
        for rows in self._ranges():
            yield rows, _read(self._path(rows))

    def join(self) -> Rows:
        """All chunks as one."""
        values: np.ndarray[tuple[int, int], np.dtype[np.float32]] | None = None
        skipped: dict[int, str] = {}
        for rows, chunk in self:
            if values is None:
                values = np.zeros((self.rows, chunk.values.shape[1]), dtype=np.float32)
            values[rows.start : rows.stop] = chunk.values
            skipped |= chunk.skipped
        return Rows(np.zeros((0, 0), dtype=np.float32) if values is None else values, skipped)

    def _ranges(self) -> list[range]:
        return list(batches(range(self.rows), self.size))

    def _path(self, rows: range) -> Path:
        return self.folder / f"{rows.start:010d}-{rows.stop:010d}.npz"


def claim(folder: Path, *inputs: bytes) -> Path:
    """``folder``, emptied unless it was last claimed for the same inputs: work on other inputs must not go on."""
    digest = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in inputs)).hexdigest()
    mark = folder / "inputs.sha256"
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        mark.write_text(digest)
    return folder


def _write(path: Path, chunk: Rows) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            values=chunk.values,
            skipped=np.array(list(chunk.skipped), dtype=np.int64),
            reasons=np.array(list(chunk.skipped.values()), dtype=np.str_),
        )
    partial.replace(path)


def _read(path: Path) -> Rows:
    with np.load(path, allow_pickle=False) as arrays:
        reasons = dict(zip(arrays["skipped"].tolist(), arrays["reasons"].tolist(), strict=True))
        return Rows(arrays["values"], reasons)
