"""Resumable chunks: only what is missing is made, and other inputs start afresh."""

from pathlib import Path

import numpy as np
import pytest

from training.embeddings.chunks import Chunks, claim
from training.embeddings.rows import Rows


def rows_of(rows: range) -> Rows:
    values = np.array([[row, -row] for row in rows], dtype=np.float32)
    return Rows(values, {row: f"reason {row} ü" for row in rows if row % 4 == 0})


def test_chunks_join_to_what_one_pass_would_give(tmp_path: Path) -> None:
    chunks = Chunks(tmp_path, rows=10, size=3)
    chunks.fill(rows_of, "test")
    joined = chunks.join()
    np.testing.assert_array_equal(joined.values, rows_of(range(10)).values)
    assert joined.skipped == rows_of(range(10)).skipped


def test_only_missing_chunks_are_made(tmp_path: Path) -> None:
    made: list[range] = []

    def make(rows: range) -> Rows:
        made.append(rows)
        if len(made) == 3:
            raise KeyboardInterrupt
        return rows_of(rows)

    chunks = Chunks(tmp_path, rows=10, size=3)
    with pytest.raises(KeyboardInterrupt):
        chunks.fill(make, "test")
    chunks.fill(make, "test")
    assert made == [range(3), range(3, 6), range(6, 9), range(6, 9), range(9, 10)]
    np.testing.assert_array_equal(chunks.join().values, rows_of(range(10)).values)


def test_no_rows_make_no_chunks(tmp_path: Path) -> None:
    chunks = Chunks(tmp_path, rows=0, size=3)
    chunks.fill(rows_of, "test")
    assert chunks.join().values.shape == (0, 0)


def test_a_folder_keeps_its_work_for_the_same_inputs_only(tmp_path: Path) -> None:
    folder = claim(tmp_path / "work", b"config", b"items")
    (folder / "chunk").touch()
    assert (claim(folder, b"config", b"items") / "chunk").exists()
    assert not (claim(folder, b"configi", b"tems") / "chunk").exists()
