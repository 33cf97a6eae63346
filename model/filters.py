"""The filter of a request: which items may be recommended, by their attributes, their category and availability.

    {"all": [{"category": ["shoes", "boots"]},
             {"attribute": "price", "min": 20, "max": 80},
             {"not": {"attribute": "brand", "equals": "Acme"}}]}

A condition holds for an item if any of its values satisfies it: a list of strings holds each of them. Values are
compared with their type and exactly, case included: ``1`` and ``1.0`` are the same number, ``"1"`` is another value. A
range takes in both its ends. An item without the attribute, or with values of another type only, does not satisfy a
condition on it, so ``not`` of the condition lets it pass. Items that are not available are left out, unless the filter
itself says something about availability.

``mask`` answers for all items of a catalog by its columns, ``matches`` for one item by its metadata; both agree.
"""

import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag, model_validator

from model.attributes import Columns, Value, attributes_of
from model.conditions import Available, Canonical, Category, Equals, Form, In, Place, Range

MAX_DEPTH = 8
MAX_CONDITIONS = 100
KEY_LENGTH = 32
TAG = "filter:"
"""What begins the parts of an error's location that name a form and no field."""


class All(Form):
    """Satisfied where each of several filters is."""

    all_: list["AnyForm"] = Field(alias="all", min_length=1, description="Filters that must all be satisfied.")

    def mask(self, columns: Columns, available: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See :class:`Form`."""
        return reduce(operator.and_, (form.mask(columns, available) for form in self.all_))

    def matches(self, attributes: Mapping[str, Any], available: bool) -> bool:
        """See :class:`Form`."""
        return all(form.matches(attributes, available) for form in self.all_)

    def canonical(self) -> Canonical:
        """See :class:`Form`."""
        return _joined("all", self.all_)

    def children(self) -> Iterator[tuple[Place, Form]]:
        """See :class:`Form`."""
        yield from ((("all", place), form) for place, form in enumerate(self.all_))


class AnyOf(Form):
    """Satisfied where at least one of several filters is."""

    any_: list["AnyForm"] = Field(alias="any", min_length=1, description="Filters of which one is enough.")

    def mask(self, columns: Columns, available: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See :class:`Form`."""
        return reduce(operator.or_, (form.mask(columns, available) for form in self.any_))

    def matches(self, attributes: Mapping[str, Any], available: bool) -> bool:
        """See :class:`Form`."""
        return any(form.matches(attributes, available) for form in self.any_)

    def canonical(self) -> Canonical:
        """See :class:`Form`."""
        return _joined("any", self.any_)

    def children(self) -> Iterator[tuple[Place, Form]]:
        """See :class:`Form`."""
        yield from ((("any", place), form) for place, form in enumerate(self.any_))


class Not(Form):
    """Satisfied where another filter is not."""

    not_: "AnyForm" = Field(alias="not", description="The filter that must not be satisfied.")

    def mask(self, columns: Columns, available: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See :class:`Form`."""
        return ~self.not_.mask(columns, available)

    def matches(self, attributes: Mapping[str, Any], available: bool) -> bool:
        """See :class:`Form`."""
        return not self.not_.matches(attributes, available)

    def canonical(self) -> Canonical:
        """See :class:`Form`."""
        inner = self.not_.canonical()
        negated: Canonical = inner[1]
        return negated if inner[0] == "not" else ["not", inner]

    def children(self) -> Iterator[tuple[Place, Form]]:
        """See :class:`Form`."""
        yield ("not",), self.not_


FORMS: dict[str, type[Form]] = {
    "all": All,
    "any": AnyOf,
    "not": Not,
    "category": Category,
    "available": Available,
    "equals": Equals,
    "in": In,
    "min": Range,
    "max": Range,
}


def _form_of(raw: Any) -> str | None:
    """The tag of the form that ``raw`` has, by the field that only this form has."""
    form = type(raw) if isinstance(raw, Form) else None
    if isinstance(raw, Mapping):
        form = next((form for field, form in FORMS.items() if field in raw), None)
    return None if form is None else TAG + form.__name__


AnyForm = Annotated[
    Annotated[All, Tag(TAG + "All")]
    | Annotated[AnyOf, Tag(TAG + "AnyOf")]
    | Annotated[Not, Tag(TAG + "Not")]
    | Annotated[Category, Tag(TAG + "Category")]
    | Annotated[Available, Tag(TAG + "Available")]
    | Annotated[Equals, Tag(TAG + "Equals")]
    | Annotated[In, Tag(TAG + "In")]
    | Annotated[Range, Tag(TAG + "Range")],
    Discriminator(
        _form_of,
        custom_error_type="filter_form",
        custom_error_message=(
            'a filter is {"all": [...]}, {"any": [...]}, {"not": {...}}, {"category": ...}, {"available": ...}, or '
            '{"attribute": ...} with "equals", "in", or "min" and "max"'
        ),
    ),
]
for _form in (All, AnyOf, Not):
    _form.model_rebuild()

EXAMPLES: list[Any] = [
    {"category": "shoes"},
    {
        "all": [
            {"category": ["shoes", "boots"]},
            {"attribute": "price", "min": 20, "max": 80},
            {"not": {"attribute": "brand", "in": ["Acme", "Zeta"]}},
        ]
    },
    {"any": [{"available": True}, {"attribute": "preorder", "equals": True}]},
]


class Filter(RootModel[AnyForm]):
    """Which items may be recommended."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": EXAMPLES})

    @model_validator(mode="before")
    @classmethod
    def _check_size(cls, raw: Any) -> Any:
        """Depth and number of conditions are bounded before anything is read, so that reading is too."""
        pending, forms = [(raw, 1)], 0
        while pending:
            form, depth = pending.pop()
            forms += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"a filter is at most {MAX_DEPTH} levels deep")
            if forms > MAX_CONDITIONS:
                raise ValueError(f"a filter has at most {MAX_CONDITIONS} parts")
            if isinstance(form, Mapping):
                lists = [form[key] for key in ("all", "any") if isinstance(form.get(key), list | tuple)]
                inner = [part for parts in lists for part in parts] + ([form["not"]] if "not" in form else [])
                pending.extend((part, depth + 1) for part in inner)
        return raw

    @property
    def key(self) -> str:
        """Names what the filter means: equal for filters that differ in order, repetition or nesting only."""
        canonical = json.dumps(self.root.canonical(), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_LENGTH]

    @property
    def decides_availability(self) -> bool:
        """Whether the filter says something about availability."""
        return any(isinstance(form, Available) for _, form in self.walk())

    def mask(self, columns: Columns, available: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Which of the n items of ``columns`` are allowed, ``(n,)``; all are available if nothing is given."""
        if available is None:
            available = np.ones(columns.size, dtype=np.bool_)
        mask = self.root.mask(columns, available)
        return mask if self.decides_availability else mask & available

    def matches(self, metadata: Mapping[str, Any], available: bool = True) -> bool:
        """Whether one item is allowed, by its metadata."""
        return (available or self.decides_availability) and self.root.matches(attributes_of(metadata), available)

    def walk(self) -> Iterator[tuple[Place, Form]]:
        """Every form in it with its place."""
        pending: list[tuple[Place, Form]] = [((), self.root)]
        while pending:
            place, form = pending.pop()
            yield place, form
            pending.extend(((*place, *inner), child) for inner, child in form.children())


def _joined(word: str, forms: Sequence[Form]) -> Canonical:
    """``all`` or ``any`` of forms: flat, sorted, each once; of one form the form itself."""
    parts: dict[str, Canonical] = {}
    for form in forms:
        canonical = form.canonical()
        for part in canonical[1] if canonical[0] == word else [canonical]:
            parts[json.dumps(part)] = part
    return parts.popitem()[1] if len(parts) == 1 else [word, [parts[key] for key in sorted(parts)]]


def has_one_of(values: Mapping[str, Sequence[Value]]) -> Filter:
    """The filter of items that have one of some values of some attributes, whether or not they are available."""
    conditions: list[AnyForm] = [In.model_construct(attribute=name, in_=list(some)) for name, some in values.items()]
    either: list[AnyForm] = [Available.model_construct(available=flag) for flag in (True, False)]
    forms: list[AnyForm] = [AnyOf.model_construct(any_=conditions), AnyOf.model_construct(any_=either)]
    return Filter.model_construct(All.model_construct(all_=forms))
