"""Interactions from a parquet or CSV file: columns in, known-good events out, bad rows counted by line."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.config import Config
from model.errors import DataError
from training.bad_rows import BadRows, FileRows, RowRules
from training.readers.columns import MISSING, Ids, ids, numbers_of, times
from training.readers.raw import Events

FIRST_CSV_LINE = 2  # the header is line 1


class EventColumns(Config):
    """The names of the columns in the file; the rating is needed only for a minimum rating."""

    user: str = "user"
    item: str = "item"
    timestamp: str = "timestamp"
    rating: str = "rating"


class EventFile(NamedTuple):
    """Good events in file order, the file's row counts, and how many good events had too low a rating."""

    events: Events
    rows: FileRows
    below_min_rating: int


class _Table(NamedTuple):
    """Columns, the line number of each row, and the lines of rows with a wrong number of fields."""

    columns: pa.Table
    lines: NDArray[np.int64]
    malformed: list[int]


def read_event_table(
    path: Path, columns: EventColumns, catalog: dict[str, int], rules: RowRules, min_rating: float | None = None
) -> EventFile:
    """Reads a ``.parquet`` or ``.csv`` file of events of the items in ``catalog`` (item id -> item index).

    A parquet file's rows are numbered from 1; a CSV file's lines are physical lines, the header being line 1.

    Raises:
        DataError: if the file or a column is missing or of the wrong type, or too many rows are bad.
    """
    wanted = [columns.user, columns.item, columns.timestamp, *([] if min_rating is None else [columns.rating])]
    table = _read_csv(path, wanted) if path.suffix == ".csv" else _read_parquet(path, wanted)
    bad = BadRows(path.name, rules)
    users = ids(table.columns[columns.user], columns.user)
    items = ids(table.columns[columns.item], columns.item)
    stamps = times(table.columns[columns.timestamp], columns.timestamp)
    known = np.array([catalog.get(item, MISSING) for item in [*items.values, ""]], dtype=np.int32)[items.codes]
    blank = (users.codes == MISSING) & (items.codes == MISSING) & ~stamps.readable
    bad.note("blank row", table.lines[blank])
    bad.skip("wrong number of fields", table.malformed)
    problems = {
        "no user": users.codes == MISSING,
        "no item": items.codes == MISSING,
        "unreadable timestamp": ~stamps.readable,
    }
    ratings = None if min_rating is None else numbers_of(table.columns[columns.rating], columns.rating)
    if ratings is not None:
        problems["unreadable rating"] = ~np.isfinite(ratings)
    good = ~blank
    for kind, wrong in problems.items():
        bad.skip(kind, table.lines[good & wrong])
        good &= ~wrong
    unknown = good & (known == MISSING)
    bad.skip("unknown item", table.lines[unknown], rules.unknown_item, _named(items, unknown))
    good &= ~unknown
    rows = bad.check(len(table.lines) + len(table.malformed))
    chosen = good if ratings is None or min_rating is None else good & (ratings >= min_rating)
    events = Events(users.values, users.codes, known, stamps.values).take(chosen)
    return EventFile(events, rows, int(good.sum()) - len(events))


def _named(items: Ids, unknown: NDArray[np.bool_]) -> str:
    """The first unknown item, for a message."""
    first = np.flatnonzero(unknown)[:1]
    return "".join(f"the first is {items.values[items.codes[row]]!r}" for row in first)


def _read_parquet(path: Path, wanted: list[str]) -> _Table:
    """The wanted columns of a parquet file."""
    try:
        with pq.ParquetFile(path) as file:
            _require(path, wanted, file.schema_arrow.names)
            columns = file.read(columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a readable parquet file ({error})") from error
    return _Table(columns, np.arange(1, columns.num_rows + 1), [])


def _read_csv(path: Path, wanted: list[str]) -> _Table:
    """The wanted columns of a CSV file as strings. One thread: with more, Arrow does not number malformed rows."""
    malformed: list[int] = []

    def skip(row: Any) -> str:  # Arrow's InvalidRow has no type that could be imported
        malformed.append(row.number)
        return "skip"

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            _require(path, wanted, next(csv.reader(file), []))
        columns = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False),
            parse_options=pa_csv.ParseOptions(invalid_row_handler=skip, ignore_empty_lines=False),
            convert_options=pa_csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
            ),
        )
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a readable CSV file in UTF-8 ({error})") from error
    lines = np.arange(FIRST_CSV_LINE, FIRST_CSV_LINE + columns.num_rows + len(malformed))
    return _Table(columns, np.setdiff1d(lines, malformed, assume_unique=True), malformed)


def _require(path: Path, wanted: list[str], names: list[str]) -> None:
    """Raises if a wanted column is not among the file's."""
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(f"{path} has no column {missing}, only {names}; rename it or name the columns in the config")
