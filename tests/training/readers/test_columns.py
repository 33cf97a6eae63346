import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import DataError
from training.readers.columns import MISSING, ids, numbers_of, times

Value = str | int | float | None


def chunked(values: list[Value], kind: pa.DataType, chunks: int = 1) -> pa.ChunkedArray:
    parts = np.array_split(np.arange(len(values)), chunks)
    return pa.chunked_array([pa.array([values[row] for row in part], kind) for part in parts], kind)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([7, 5, 7, None], pa.int32()),
        ([7, 5, 7, None], pa.uint64()),
        ([7.0, 5.0, 7.0, float("nan")], pa.float64()),
        (["7", "5", "7", ""], pa.string()),
        (["7", "5", "7", None], pa.large_string()),
        (["7", "5", "7", None], pa.dictionary(pa.int8(), pa.string())),
    ],
)
def test_ids_of_every_type_become_the_same_strings(values: list[Value], kind: pa.DataType) -> None:
    codes, names = ids(chunked(values, kind), "user")
    assert [names[code] if code != MISSING else None for code in codes] == ["7", "5", "7", None]
    assert codes.dtype == np.int32


@pytest.mark.parametrize(
    ("values", "kind"), [([1.5], pa.float64()), ([1e300], pa.float64()), ([True], pa.bool_()), ([b"a"], pa.binary())]
)
def test_other_types_are_no_ids(values: list[Value], kind: pa.DataType) -> None:
    with pytest.raises(DataError, match="'user'"):
        ids(chunked(values, kind), "user")


@given(st.lists(st.one_of(st.none(), st.sampled_from("abcdef"))), st.integers(1, 5))
def test_ids_do_not_depend_on_how_the_file_is_chunked(values: list[Value], chunks: int) -> None:
    codes, names = ids(chunked(values, pa.string(), chunks), "user")
    assert [names[code] if code != MISSING else None for code in codes] == values
    assert names == list(dict.fromkeys(value for value in values if value is not None))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([3, None, -2], pa.int32()),
        ([3.0, float("nan"), -2.0], pa.float64()),
        ([" 3", "nan", "-2"], pa.string()),
        (["3.0", "", "-2e0"], pa.string()),
    ],
)
def test_whole_numbers_stay_as_they_are(values: list[Value], kind: pa.DataType) -> None:
    stamps, readable = times(chunked(values, kind), "timestamp")
    assert readable.tolist() == [True, False, True]
    assert stamps[readable].tolist() == [3, -2]
    assert stamps.dtype == np.int64


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_large_integers_keep_every_digit(kind: pa.DataType) -> None:
    nanoseconds = 1_700_000_000_123_456_789
    stamps, readable = times(chunked([nanoseconds if kind == pa.int64() else str(nanoseconds)[:18]], kind), "t")
    assert readable.all()
    assert stamps.tolist() == [nanoseconds if kind == pa.int64() else int(str(nanoseconds)[:18])]


@pytest.mark.parametrize("kind", [pa.float64(), pa.string()])
def test_fractions_of_seconds_become_microseconds(kind: pa.DataType) -> None:
    values: list[Value] = [1.5, 1.25, 2.0] if kind == pa.float64() else ["1.5", "1.25", "2"]
    assert times(chunked(values, kind), "timestamp").values.tolist() == [1_500_000, 1_250_000, 2_000_000]


def test_dates_become_microseconds_since_1970() -> None:
    moment = dt.datetime(1970, 1, 1, 0, 0, 2, 5, tzinfo=dt.UTC)
    column = pa.chunked_array([pa.array([moment, None], pa.timestamp("ns", "UTC"))])
    stamps, readable = times(column, "timestamp")
    assert (stamps[0], readable.tolist()) == (2_000_005, [True, False])
    days = pa.chunked_array([pa.array([dt.date(1970, 1, 2)])])
    assert times(days, "timestamp").values.tolist() == [86_400_000_000]


@pytest.mark.parametrize("text", ["", "1-2", "abc", "inf", "0x10", "1e999", "99999999999999999999999999"])
def test_text_that_is_no_time_is_unreadable(text: str) -> None:
    assert not times(chunked([text, "5"], pa.string()), "timestamp").readable[0]


@pytest.mark.parametrize("kind", [pa.bool_(), pa.binary()])
def test_columns_that_cannot_hold_times_are_refused(kind: pa.DataType) -> None:
    with pytest.raises(DataError, match="'timestamp'"):
        times(chunked([None], kind), "timestamp")


def test_numbers_are_nan_where_there_is_none() -> None:
    np.testing.assert_array_equal(
        numbers_of(chunked(["4.5", "", "x", " 3 "], pa.string()), "rating"), [4.5, np.nan, np.nan, 3]
    )
