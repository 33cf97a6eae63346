"""The conditions of a filter: what one attribute, the category or the availability of an item must be.

Each answers for all items of a catalog by its columns (``mask``) and for one item by its metadata (``matches``).
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, model_validator

from model.attributes import Columns, Kind, Value, kind_of, values_of

MAX_VALUES = 1_000
MAX_STRING = 512
CATEGORY = "category"

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STRING)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Canonical = list[Any]
Place = tuple[str | int, ...]
"""Where a form stands in a filter, as its JSON has it."""


def _value(raw: Any) -> Value:
    """A string, a boolean or a finite number, with its type."""
    if isinstance(raw, str) and len(raw) > MAX_STRING:
        raise ValueError(f"a string has at most {MAX_STRING} characters")
    values = () if isinstance(raw, list | tuple) else values_of(raw)
    if not values:
        raise ValueError("a value is a string, a finite number, true or false")
    # -0.0 equals 0.0 and has to have the same key.
    return values[0] + 0.0 if isinstance(values[0], float) else values[0]


AnyValue = Annotated[Value, PlainValidator(_value, json_schema_input_type=str | float | bool)]


def _listed(raw: Any) -> Any:
    """One string as a list of one."""
    return [raw] if isinstance(raw, str) else raw


class Form(BaseModel):
    """One form that a filter may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def mask(self, columns: Columns, available: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the n items of ``columns`` satisfy it, ``(n,)``, given which of them are available."""

    @abstractmethod
    def matches(self, attributes: Mapping[str, Any], available: bool) -> bool:
        """Whether one item satisfies it, given its attributes (:func:`model.attributes.attributes_of`)."""

    @abstractmethod
    def canonical(self) -> Canonical:
        """The form as JSON, the same for filters that differ only in order, repetition or nesting."""

    def children(self) -> Iterator[tuple[Place, "Form"]]:
        """The forms inside, each with its place."""
        yield from ()


class Membership(Form):
    """A condition that an attribute has one of some values."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The attribute."""

    @property
    @abstractmethod
    def values(self) -> Sequence[Value]:
        """The values, of which one is enough."""

    def mask(self, columns: Columns, available: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG002
        """See :class:`Form`."""
        mask = np.zeros(columns.size, dtype=np.bool_)
        for kind in {kind_of(value) for value in self.values}:
            column = columns.column(self.name, kind)
            if column is not None:
                mask[column.rows[column.has_any([value for value in self.values if kind_of(value) is kind])]] = True
        return mask

    def matches(self, attributes: Mapping[str, Any], available: bool) -> bool:  # noqa: ARG002
        """See :class:`Form`."""
        wanted = {(kind_of(value), value) for value in self.values}
        return any((kind_of(value), value) in wanted for value in values_of(attributes.get(self.name)))

    def canonical(self) -> Canonical:
        """See :class:`Form`."""
        distinct = {(kind_of(value), value) for value in self.values}
        return ["in", self.name, [value for _, value in sorted(distinct, key=lambda each: (each[0], each[1]))]]


class Equals(Membership):
    """Satisfied where an attribute has a value."""

    attribute: Name = Field(description="The attribute's name.")
    equals: AnyValue = Field(description="The value.")

    @property
    def name(self) -> str:
        """See :class:`Membership`."""
        return self.attribute

    @property
    def values(self) -> Sequence[Value]:
        """See :class:`Membership`."""
        return (self.equals,)


class In(Membership):
    """Satisfied where an attribute has one of several values."""

    attribute: Name = Field(description="The attribute's name.")
    in_: list[AnyValue] = Field(alias="in", min_length=1, max_length=MAX_VALUES, description="The values.")

    @property
    def name(self) -> str:
        """See :class:`Membership`."""
        return self.attribute

    @property
    def values(self) -> Sequence[Value]:
        """See :class:`Membership`."""
        return self.in_


class Category(Membership):
    """Satisfied where an item is in a category, or in one of several; short for the attribute ``category``."""

    category: Annotated[list[Name], BeforeValidator(_listed, json_schema_input_type=Name | list[Name])] = Field(
        min_length=1, max_length=MAX_VALUES, description="A category, or several of which one is enough."
    )

    @property
    def name(self) -> str:
        """See :class:`Membership`."""
        return CATEGORY

    @property
    def values(self) -> Sequence[Value]:
        """See :class:`Membership`."""
        return self.category


class Range(Form):
    """Satisfied where an attribute has a number that is neither under ``min`` nor over ``max``."""

    attribute: Name = Field(description="The attribute's name.")
    min_: Number | None = Field(None, alias="min", description="The least number, itself included.")
    max_: Number | None = Field(None, alias="max", description="The greatest number, itself included.")

    @model_validator(mode="after")
    def _is_range(self) -> Self:
        """A range has an end, and is not empty."""
        if self.min_ is None and self.max_ is None:
            raise ValueError("give min, max or both")
        if self.min_ is not None and self.max_ is not None and self.min_ > self.max_:
            raise ValueError(f"min ({self.min_}) must not be over max ({self.max_})")
        return self

    def mask(self, columns: Columns, available: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG002
        """See :class:`Form`."""
        mask = np.zeros(columns.size, dtype=np.bool_)
        column = columns.column(self.attribute, Kind.NUMBER)
        if column is not None:
            low, high = self._ends()
            mask[column.rows[(column.values >= low) & (column.values <= high)]] = True
        return mask

    def matches(self, attributes: Mapping[str, Any], available: bool) -> bool:  # noqa: ARG002
        """See :class:`Form`."""
        low, high = self._ends()
        numbers = [value for value in values_of(attributes.get(self.attribute)) if kind_of(value) is Kind.NUMBER]
        return any(low <= float(number) <= high for number in numbers)

    def canonical(self) -> Canonical:
        """See :class:`Form`."""
        return ["range", self.attribute, *(None if end is None else end + 0.0 for end in (self.min_, self.max_))]

    def _ends(self) -> tuple[float, float]:
        """Both ends, infinite where nothing is said."""
        return (-np.inf if self.min_ is None else self.min_, np.inf if self.max_ is None else self.max_)


class Available(Form):
    """Satisfied where an item is available now, or where it is not."""

    available: bool = Field(strict=True, description="Whether the item must be available.")

    def mask(self, columns: Columns, available: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ARG002
        """See :class:`Form`."""
        return available if self.available else ~available

    def matches(self, attributes: Mapping[str, Any], available: bool) -> bool:  # noqa: ARG002
        """See :class:`Form`."""
        return available == self.available

    def canonical(self) -> Canonical:
        """See :class:`Form`."""
        return ["available", self.available]
