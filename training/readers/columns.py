"""Columns of a table as numpy arrays: ids to codes, times to integers, numbers to floats; no loop over rows."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.errors import DataError

MISSING = -1
MICROSECONDS = 1_000_000
_EXACT_FLOAT = 2.0**53
_INTEGER = r"^-?[0-9]{1,18}$"
_NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$"


class Ids(NamedTuple):
    """``codes`` int32 ``(E,)`` into the distinct ``values``, :data:`MISSING` where there is no id."""

    codes: NDArray[np.int32]
    values: list[str]


class Times(NamedTuple):
    """``values`` int64 ``(E,)``, and where they could be read, bool ``(E,)``."""

    values: NDArray[np.int64]
    readable: NDArray[np.bool_]


def ids(column: pa.ChunkedArray, name: str) -> Ids:
    """Ids as strings, distinct ones in the order of their first row. Integers that a missing value made floats count.

    Raises:
        DataError: if the column holds neither strings nor integers.
    """
    column = _plain(column)
    if pa.types.is_floating(column.type):
        column = _whole_numbers(column, name)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"column {name!r} holds {kind}, but ids are strings or integers; convert it")
    encoded = column.dictionary_encode()  # one dictionary for all chunks
    if encoded.num_chunks == 0:
        return Ids(np.empty(0, dtype=np.int32), [])
    values = [str(value) for value in encoded.chunk(0).dictionary.to_pylist()]
    codes = np.concatenate([pc.fill_null(chunk.indices, MISSING).to_numpy() for chunk in encoded.chunks])
    if "" in values:
        codes = np.where(codes == values.index(""), np.int32(MISSING), codes)
    return Ids(codes.astype(np.int32, copy=False), values)


def times(column: pa.ChunkedArray, name: str) -> Times:
    """Timestamps as integers.

    Integers stay as they are. Numbers with fractions are seconds, and become microseconds, as dates do, so that no
    order is lost.

    Raises:
        DataError: if the column holds neither numbers nor dates.
    """
    column = _plain(column)
    if pa.types.is_temporal(column.type):
        column = _microseconds(column, name)
    if pa.types.is_integer(column.type):
        return _integers(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        whole = pc.fill_null(pc.match_substring_regex(column, _INTEGER), fill_value=False)
        numbers = numbers_of(column, name)
        if np.array_equal(_numpy(whole), np.isfinite(numbers)):
            return _integers(pc.if_else(whole, column, None).cast(pa.int64()))
        return _rounded(numbers)
    return _rounded(numbers_of(column, name))


def numbers_of(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    """Numbers as float64 ``(E,)``, NaN where there is none.

    Raises:
        DataError: if the column cannot hold numbers.
    """
    column = _plain(column)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        readable = pc.match_substring_regex(column, _NUMBER)
        column = pc.if_else(readable, column, None)
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(f"column {name!r} holds {column.type}, which is no number; convert it")
    return _numpy(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)).astype(np.float64, copy=False)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without dictionary encoding."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _whole_numbers(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Floats as integers, NaN as null."""
    column = pc.if_else(pc.is_nan(column), None, column)
    values = _numpy(column.drop_null())
    if np.any(values != np.floor(values)) or np.any(np.abs(values) >= _EXACT_FLOAT):
        raise DataError(f"column {name!r} holds fractions or numbers too large for floats; write ids as strings")
    return column.cast(pa.int64())


def _microseconds(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Dates as microseconds since 1970."""
    try:
        return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    except pa.ArrowException as error:
        raise DataError(f"column {name!r} holds {column.type}, which is no date; convert it ({error})") from error


def _integers(column: pa.ChunkedArray) -> Times:
    """Integers with nulls as values and a mask."""
    values = _numpy(pc.fill_null(column, 0)).astype(np.int64, copy=False)
    return Times(values, _numpy(pc.is_valid(column)).astype(np.bool_, copy=False))


def _rounded(numbers: NDArray[np.float64]) -> Times:
    """Seconds as integers, or as microseconds if any has a fraction."""
    readable = np.isfinite(numbers) & (np.abs(numbers) < np.iinfo(np.int64).max / MICROSECONDS)
    seconds = np.where(readable, numbers, 0.0)
    if np.any(seconds != np.floor(seconds)):
        seconds = np.round(seconds * MICROSECONDS)
    return Times(seconds.astype(np.int64), readable)


def _numpy(column: pa.ChunkedArray) -> NDArray[np.generic]:
    """The column as an array; it has no nulls."""
    values: NDArray[np.generic] = column.to_numpy()
    return values
