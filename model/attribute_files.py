"""Attribute columns, made in one pass over the items' metadata and kept in the catalog's folder, memory-mapped."""

from array import array
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.attributes import (
    AttributeColumns,
    Column,
    ColumnSummary,
    Kind,
    Value,
    Words,
    attributes_of,
    kind_of,
    summarize,
    values_of,
)
from model.config import Config
from model.errors import BundleError
from model.mapped import map_array
from model.string_table import StringColumn

INDEX_FILE = "attributes.json"
WORDS = "attribute_words"
MAX_ATTRIBUTES = 1_000
MAX_WORDS = 1 << 20
"""Distinct strings of an attribute: with more it is an identifier or a text."""
_DTYPES: dict[Kind, Any] = {Kind.STRING: np.int32, Kind.NUMBER: np.float64, Kind.BOOLEAN: np.uint8}


class ColumnSpan(Config):
    """What one column holds and where: its values in the arrays of its type, its strings among all strings."""

    name: str
    kind: Kind
    start: int
    stop: int
    first_word: int
    last_word: int
    summary: ColumnSummary


class AttributeIndex(Config):
    """What ``attributes.json`` says."""

    items: int
    columns: list[ColumnSpan]


class _GrowingColumn:
    """A column while items come in: machine numbers, and each distinct string once."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.rows = array("i")
        self.values: array[Any] = array("d" if kind is Kind.NUMBER else "i")
        self.words: dict[str, int] = {}

    def add(self, row: int, value: Value) -> None:
        if self.kind is Kind.STRING:
            value = self.words.setdefault(str(value), len(self.words))
        self.rows.append(row)
        self.values.append(value)

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[Any], list[str]]:
        """Rows, values, and the strings ascending, which become the codes' order."""
        rows = np.array(self.rows, dtype=np.int32)
        values = np.array(self.values, dtype=_DTYPES[self.kind])
        words = sorted(self.words)
        if words:
            code = np.empty(len(words), dtype=np.int32)
            code[[self.words[word] for word in words]] = np.arange(len(words), dtype=np.int32)
            values = code[values]
        return rows, values, words


class ColumnsBuilder:
    """Takes items one by one, in item order, and keeps no object of any.

    Two bounds keep odd data from filling memory: only the first MAX_ATTRIBUTES names become attributes, and strings of
    which an attribute has more than MAX_WORDS (an identifier, a description) are dropped, so that no filter may ask
    for them.
    """

    def __init__(self) -> None:
        """Begins with no item."""
        self._size = 0
        self._columns: dict[str, dict[Kind, _GrowingColumn]] = {}
        self._by_type: dict[tuple[str, type], _GrowingColumn] = {}

    def add(self, metadata: Mapping[str, Any]) -> None:
        """Takes the next item."""
        for name, value in attributes_of(metadata).items():
            for part in values_of(value):
                by_type = (name, type(part))
                column = self._by_type.get(by_type) or self._meet(name, part)
                if column is not None and len(column.words) <= MAX_WORDS:
                    column.add(self._size, part)
        self._size += 1

    def build(self) -> AttributeColumns:
        """The columns of all items taken."""
        growing = [
            (name, column)
            for name in sorted(self._columns)
            for column in self._columns[name].values()
            if len(column.words) <= MAX_WORDS
        ]
        arrays = [column.arrays() for _, column in growing]
        words = StringColumn.build(word for _, _, strings in arrays for word in strings)
        ends = np.cumsum([0, *(len(strings) for _, _, strings in arrays)]).tolist()
        columns: dict[str, dict[Kind, Column]] = {}
        for (name, grown), (rows, values, _), (first, last) in zip(growing, arrays, pairwise(ends), strict=True):
            spelled = Words(words, first, last) if grown.kind is Kind.STRING else None
            columns.setdefault(name, {})[grown.kind] = Column(rows, values, spelled)
        summaries = {
            name: {kind: summarize(column) for kind, column in kinds.items()} for name, kinds in columns.items()
        }
        return AttributeColumns(self._size, columns, summaries, words)

    def _meet(self, name: str, value: Value) -> _GrowingColumn | None:
        """The column that a value of a type that the attribute did not have yet belongs to; None beyond the bound."""
        if name not in self._columns and len(self._columns) >= MAX_ATTRIBUTES:
            return None
        kind = kind_of(value)
        column = self._columns.setdefault(name, {}).setdefault(kind, _GrowingColumn(kind))
        self._by_type[name, type(value)] = column
        return column


def save_columns(columns: AttributeColumns, folder: Path) -> None:
    """Writes ``attributes.json``, two arrays for each type, and all strings."""
    spans: list[ColumnSpan] = []
    for kind in Kind:
        parts = [(name, kinds[kind]) for name, kinds in columns.columns.items() if kind in kinds]
        ends = np.cumsum([0, *(len(column.rows) for _, column in parts)]).tolist()
        spans.extend(
            _span(name, kind, column, start, columns.summaries[name][kind])
            for (name, column), start in zip(parts, ends[:-1], strict=True)
        )
        rows = [np.zeros(0, dtype=np.int32), *(column.rows for _, column in parts)]
        values = [np.zeros(0, dtype=_DTYPES[kind]), *(column.values for _, column in parts)]
        np.save(_array_file(folder, kind, "rows"), np.concatenate(rows))
        np.save(_array_file(folder, kind, "values"), np.concatenate(values))
    columns.words.save(folder, WORDS)
    index = AttributeIndex(items=columns.size, columns=spans)
    (folder / INDEX_FILE).write_text(index.model_dump_json(indent=2) + "\n")


def load_columns(folder: Path) -> AttributeColumns:
    """Maps what :func:`save_columns` wrote.

    Raises:
        BundleError: if the index cannot be read.
        OSError: if a file is missing.
        ValueError: if an array cannot be read.
    """
    try:
        index = AttributeIndex.model_validate_json((folder / INDEX_FILE).read_bytes())
    except ValidationError as error:
        raise BundleError(f"{folder / INDEX_FILE} cannot be read: {error}; export or publish it again") from error
    rows = {kind: map_array(_array_file(folder, kind, "rows")) for kind in Kind}
    values = {kind: map_array(_array_file(folder, kind, "values")) for kind in Kind}
    words = StringColumn.load(folder, WORDS)
    columns: dict[str, dict[Kind, Column]] = {}
    summaries: dict[str, dict[Kind, ColumnSummary]] = {}
    for span in sorted(index.columns, key=lambda span: span.name):
        spelled = Words(words, span.first_word, span.last_word) if span.kind is Kind.STRING else None
        inside = slice(span.start, span.stop)
        column = Column(rows[span.kind][inside], values[span.kind][inside], spelled)
        columns.setdefault(span.name, {})[span.kind] = column
        summaries.setdefault(span.name, {})[span.kind] = span.summary
    return AttributeColumns(index.items, columns, summaries, words)


def _span(name: str, kind: Kind, column: Column, start: int, summary: ColumnSummary) -> ColumnSpan:
    """Where a column lies whose values begin at ``start``."""
    words = column.words
    return ColumnSpan(
        name=name,
        kind=kind,
        start=start,
        stop=start + len(column.rows),
        first_word=words.start if words else 0,
        last_word=words.stop if words else 0,
        summary=summary,
    )


def _array_file(folder: Path, kind: Kind, part: str) -> Path:
    return folder / f"attribute_{kind}_{part}.npy"
