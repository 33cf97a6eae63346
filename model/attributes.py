"""The items' attributes as typed columns, so that a filter over millions of items is a few operations on arrays.

An attribute is a field of an item's metadata or of the object ``attributes`` in it, by its bare name; where both have
the name, the field of the metadata counts. Title, text and image are no attributes. A value is a string, a number
(float64), a boolean, or several strings (a list; other things in a list count for nothing). Items may disagree about a
type: every attribute has a column for each type that occurs, and a condition looks at the values of its own type, so
that ``1``, ``"1"`` and ``true`` are three values and no item changes what another one means.

A column holds the values that exist and the item of each, so thousands of rare attributes cost what they hold. The
catalog saves all columns of one type as two arrays, memory-mapped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.config import Config
from model.string_table import StringColumn

Value = str | float | bool

NESTED = "attributes"
NOT_ATTRIBUTES = frozenset({"title", "text", "image"})
SHOWN = 20
"""Values that a summary lists."""
# Millions of values are asked for their type, and making ``str | bool`` each time takes longer than asking.
_PLAIN, _NUMBERS, _LISTS = (str, bool), (int, float), (list, tuple)


class Kind(StrEnum):
    """The type of a value."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"


def attributes_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of one item by their names, with values as they stand in its metadata."""
    nested = metadata.get(NESTED)
    fields = dict(metadata)
    if isinstance(nested, Mapping):
        del fields[NESTED]
        fields = {**nested, **fields}
    for name in NOT_ATTRIBUTES:
        fields.pop(name, None)
    return fields


def values_of(value: Any) -> tuple[Value, ...]:
    """The distinct values that one attribute of an item has, none for what is no value."""
    if isinstance(value, _PLAIN):
        return (value,)
    if isinstance(value, _NUMBERS):
        return _number(value)
    if isinstance(value, _LISTS):
        return tuple(dict.fromkeys(part for part in value if isinstance(part, str)))
    return ()


def kind_of(value: Value) -> Kind:
    """The type of a value."""
    if isinstance(value, str):
        return Kind.STRING
    return Kind.BOOLEAN if isinstance(value, bool) else Kind.NUMBER


def _number(value: float) -> tuple[Value, ...]:
    """The number as float64, unless it is beyond all of them."""
    try:
        number = float(value)
    except OverflowError:
        return ()
    return (number,) if math.isfinite(number) else ()


@dataclass(frozen=True)
class Words:
    """The distinct strings of one attribute, ascending: rows ``start`` to ``stop`` of a column that all share."""

    column: StringColumn
    start: int
    stop: int

    def __len__(self) -> int:
        """How many there are."""
        return self.stop - self.start

    def __getitem__(self, code: int) -> str:
        """The string of a code, 0 to ``len - 1``."""
        return self.column[self.start + code]

    def place(self, word: str) -> int:
        """How many strings are smaller than ``word``: its code, if it is there."""
        wanted = word.encode(errors="surrogatepass")
        low, high = self.start, self.stop
        while low < high:
            middle = (low + high) // 2
            if self.column.raw(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low - self.start

    def code(self, word: str) -> int | None:
        """The code of ``word``, None if no item has it."""
        code = self.place(word)
        wanted = word.encode(errors="surrogatepass")
        return code if code < len(self) and self.column.raw(self.start + code) == wanted else None


@dataclass(frozen=True)
class Column:
    """The T values of one type that an attribute has.

    Attributes:
        rows: ``(T,)`` int32, the item of each value, ascending; an item may have several strings.
        values: ``(T,)`` float64 numbers, uint8 booleans, or int32 codes of strings.
        words: the strings that the codes stand for; None for the other types.
    """

    rows: NDArray[np.int32]
    values: NDArray[Any]
    words: Words | None = None

    def take(self, items: NDArray[np.integer]) -> "Column":
        """The values of ``items`` ``(n,)`` alone, whose rows then count from 0 in the order given."""
        items = items.astype(self.rows.dtype)  # of another type, numpy would convert the whole column first
        starts = np.searchsorted(self.rows, items, side="left")
        counts = np.searchsorted(self.rows, items, side="right") - starts
        slots = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        rows = np.repeat(np.arange(len(items), dtype=np.int32), counts)
        return Column(rows, self.values[slots], self.words)

    def rows_of(self, wanted: Value) -> NDArray[np.int32]:
        """The items ``(n,)`` that have a value of this column's type, ascending."""
        stored = wanted if self.words is None else self.words.code(str(wanted))
        found: NDArray[np.int32] = self.rows[:0] if stored is None else self.rows[self.values == stored]
        return found

    def has_any(self, wanted: Sequence[Value]) -> NDArray[np.bool_]:
        """Which of the T values are among ``wanted``, all of this column's type."""
        if self.words is None:
            return np.isin(self.values, np.array(wanted, dtype=np.float64))
        known = [code for value in wanted if (code := self.words.code(str(value))) is not None]
        table = np.zeros(len(self.words), dtype=np.bool_)
        table[known] = True
        found: NDArray[np.bool_] = table[self.values]
        return found


class Columns(Protocol):
    """What conditions look at: the columns of n items."""

    @property
    def size(self) -> int:
        """n."""

    def column(self, name: str, kind: Kind) -> Column | None:
        """The values of one type of an attribute, None if no item has any."""


class Selection:
    """The columns of some items only, each made when it is asked for: the cost follows the items, not the catalog."""

    def __init__(self, columns: Columns, items: NDArray[np.integer]) -> None:
        """Selects ``items`` ``(n,)``, which become rows 0 to n - 1."""
        self._columns = columns
        self._items = items

    @property
    def size(self) -> int:
        """n."""
        return len(self._items)

    def column(self, name: str, kind: Kind) -> Column | None:
        """See :class:`Columns`."""
        column = self._columns.column(name, kind)
        return None if column is None else column.take(self._items)


class ColumnSummary(Config):
    """What a column holds.

    Attributes:
        items: how many items have a value.
        values: how many distinct values there are.
        common: the most frequent ones with the number of their items, the most frequent first.
        low: the least value of a numeric column.
        high: the greatest.
    """

    items: int
    values: int
    common: tuple[tuple[Value, int], ...]
    low: float | None = None
    high: float | None = None


class AttributeColumns:
    """All columns of a catalog with N items.

    Attributes:
        columns: by name, ascending, and type.
        summaries: what each holds.
        words: all strings.
    """

    def __init__(
        self,
        size: int,
        columns: Mapping[str, Mapping[Kind, Column]],
        summaries: Mapping[str, Mapping[Kind, ColumnSummary]],
        words: StringColumn,
    ) -> None:
        """Wraps the columns of N = ``size`` items."""
        self._size = size
        self.columns = columns
        self.summaries = summaries
        self.words = words

    @property
    def size(self) -> int:
        """N."""
        return self._size

    def column(self, name: str, kind: Kind) -> Column | None:
        """See :class:`Columns`."""
        return self.columns.get(name, {}).get(kind)

    @property
    def names(self) -> list[str]:
        """All attributes that any item has a value of, ascending."""
        return list(self.columns)

    def kinds(self, name: str) -> list[Kind]:
        """The types that an attribute's values have; none for an attribute that does not exist."""
        return list(self.columns.get(name, {}))

    def may_have(self, name: str, value: Value) -> bool:
        """Whether an item has this value; of numbers only whether it lies between the least and the greatest."""
        kind = kind_of(value)
        column = self.column(name, kind)
        if column is None:
            return False
        if column.words is not None:
            return column.words.code(str(value)) is not None
        common = self.summaries[name][kind]
        return kind is Kind.BOOLEAN or (common.low or 0.0) <= float(value) <= (common.high or 0.0)


def summarize(column: Column) -> ColumnSummary:
    """Counts what a column holds; a column has at least one value."""
    distinct, counts = np.unique(column.values, return_counts=True)
    most = np.lexsort((np.arange(len(counts)), -counts))[:SHOWN]
    common = tuple((_value(column, distinct[place]), int(counts[place])) for place in most)
    items = int((np.diff(column.rows) != 0).sum()) + 1
    if column.values.dtype != np.float64:
        return ColumnSummary(items=items, values=len(distinct), common=common)
    low, high = float(distinct[0]), float(distinct[-1])
    return ColumnSummary(items=items, values=len(distinct), common=common, low=low, high=high)


def _value(column: Column, stored: Any) -> Value:
    """A stored value as JSON has it."""
    if column.words is not None:
        return column.words[int(stored)]
    return float(stored) if column.values.dtype == np.float64 else bool(stored)
