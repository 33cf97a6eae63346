"""Given embeddings: rows found by id, missing and bad rows, and files that do not fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from model.encoders.given import GivenEncoder
from model.errors import ConfigError, DataError
from training.embeddings.precomputed import PrecomputedSource, embed_precomputed
from training.embeddings.rows import Embedded
from training.embeddings.sources import Inputs
from training.items import Item

MakeInputs = Callable[[str], Inputs]
ORIGINAL = ("5", "x", "7", "1", "9")  # ids in the order of the user's file


@pytest.fixture
def given(inputs: MakeInputs) -> Inputs:
    """Prepare dropped "x" and reordered the rest; "new" came from elsewhere and has no row."""
    made = replace(inputs("given"), items=[Item(id=name) for name in ("1", "5", "new", "9", "7")])
    lines = [{"id": int(name) if name.isdigit() else name, "title": "a\u2028b"} for name in ORIGINAL]
    write_lines(made.data / "items.jsonl", [json.dumps(line, ensure_ascii=False) for line in lines])
    return made


def write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table() -> NDArray[np.float16]:
    """Row i holds i + 1 and its square."""
    return np.array([[row, row * row] for row in range(1, 6)], dtype=np.float16)


def embed(given: Inputs, rows: NDArray[np.generic], **settings: object) -> Embedded:
    np.save(given.data / "text.npy", rows)
    return embed_precomputed(PrecomputedSource.model_validate({"path": "text.npy", **settings}), given)


EXPECTED = [[4, 16], [1, 1], [0, 0], [5, 25], [3, 9]]


def test_rows_are_found_by_the_ids_of_the_users_items_file(given: Inputs) -> None:
    embedded = embed(given, table())
    assert embedded.rows.values.tolist() == EXPECTED
    assert embedded.rows.values.dtype == np.float32
    assert embedded.present.tolist() == [True, True, False, True, True]
    assert embedded.rows.skipped == {}


def test_rows_are_found_by_a_text_file_of_ids(given: Inputs) -> None:
    write_lines(given.data / "order.txt", list(ORIGINAL))
    assert embed(given, table(), ids="order.txt").rows.values.tolist() == EXPECTED


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), 2)])
def test_rows_are_found_by_the_ids_of_a_parquet_file(given: Inputs, kind: pa.DataType) -> None:
    columns = {"id": pa.array(ORIGINAL), "vector": pa.array(table().astype(float).tolist(), kind)}
    pq.write_table(pa.table(columns), given.data / "text.parquet")
    source = PrecomputedSource(path="text.parquet", column="vector")
    assert embed_precomputed(source, given).rows.values.tolist() == EXPECTED


def test_lines_that_prepare_passes_over_keep_their_row(given: Inputs) -> None:
    """No JSON, no id, blank, an id for the second time."""
    lines = ['{"id": 5}', "{broken", '{"title": "no id"}', "", '{"id": 5}', '{"id": 9}']
    write_lines(given.data / "items.jsonl", lines)
    assert embed(given, table()).rows.values.tolist() == [[0, 0], [1, 1], [0, 0], [5, 25], [0, 0]]


def test_a_row_of_zeros_means_that_the_modality_is_missing(given: Inputs) -> None:
    rows = table()
    rows[0] = 0
    embedded = embed(given, rows)
    assert embedded.present.tolist() == [True, False, False, True, True]
    assert embedded.rows.skipped == {}


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_row_that_is_not_finite_is_a_counted_skip_or_a_named_error(given: Inputs, value: float) -> None:
    rows = table()
    rows[4, 1] = value
    embedded = embed(given, rows)
    assert embedded.rows.skipped == {3: "row 4 of text.npy holds NaN or infinity"}
    assert not embedded.present[3]
    with pytest.raises(DataError, match=r"item '9' \(row 3\): row 4 of text\.npy holds NaN"):
        embed(given, rows, on_bad="error")


def test_normalised_rows_have_unit_length_and_serving_does_likewise(given: Inputs) -> None:
    embedded = embed(given, table(), normalize=True)
    lengths = np.linalg.norm(embedded.rows.values, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 1, 1], rtol=1e-6)
    assert isinstance(embedded.encoder, GivenEncoder)
    assert embedded.encoder.state.normalize
    assert embedded.encoder.dim == 2


def test_another_number_of_rows_than_ids_is_refused(given: Inputs) -> None:
    with pytest.raises(DataError, match=r"4 rows but items\.jsonl has 5 ids"):
        embed(given, table()[:4])


@pytest.mark.parametrize("rows", [np.zeros(5), np.zeros((5, 2), dtype=np.int64), np.zeros((5, 2), dtype="U3")])
def test_an_array_of_another_kind_is_refused(given: Inputs, rows: NDArray[np.generic]) -> None:
    with pytest.raises(DataError, match="of a float type"):
        embed(given, rows)


def test_pickled_arrays_are_refused(given: Inputs) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        embed(given, np.array([["a"], None], dtype=object))


def test_an_id_with_two_rows_is_refused(given: Inputs) -> None:
    write_lines(given.data / "order.txt", ["5", "5", "7", "1", "9"])
    with pytest.raises(DataError, match="'5' has more than one row"):
        embed(given, table(), ids="order.txt")


def test_ids_of_other_items_are_refused(given: Inputs) -> None:
    write_lines(given.data / "order.txt", ["a", "b", "c", "d", "e"])
    with pytest.raises(DataError, match="no item's id is among"):
        embed(given, table(), ids="order.txt")


def test_a_parquet_file_without_the_column_or_with_ragged_rows_is_refused(given: Inputs) -> None:
    columns = {"id": pa.array(["5", "7"]), "embedding": pa.array([[1.0], [1.0, 2.0]])}
    pq.write_table(pa.table(columns), given.data / "text.parquet")
    with pytest.raises(DataError, match="no column 'vector'"):
        embed_precomputed(PrecomputedSource(path="text.parquet", column="vector"), given)
    with pytest.raises(DataError, match="lists of one length"):
        embed_precomputed(PrecomputedSource(path="text.parquet"), given)


def test_a_missing_file_and_an_unknown_kind_are_named(given: Inputs) -> None:
    with pytest.raises(DataError, match=r"none\.npy cannot be read"):
        embed_precomputed(PrecomputedSource(path="none.npy"), given)
    with pytest.raises(ConfigError, match=r"\.npy or \.parquet"):
        embed_precomputed(PrecomputedSource(path="text.csv"), given)
