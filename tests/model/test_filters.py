"""A filter means the same over columns, for one item, and written down plainly; equal meanings have equal keys."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model.attribute_files import ColumnsBuilder
from model.attributes import AttributeColumns, Selection
from model.filters import EXAMPLES, MAX_CONDITIONS, MAX_DEPTH, Filter
from tests import filters as cases

SHOP: list[dict[str, Any]] = [
    {"category": ["shoes", "sale"], "price": 20, "attributes": {"brand": "Acme", "new": True}},
    {"category": "boots", "price": 80.0, "attributes": {"brand": "Zeta", "new": False}},
    {"category": [], "price": "80", "attributes": {"size": 1}},
    {"title": "nothing else"},
]


def columns_of(items: list[dict[str, Any]]) -> AttributeColumns:
    builder = ColumnsBuilder()
    for item in items:
        builder.add(item)
    return builder.build()


def allowed(rule: dict[str, Any], available: list[bool] | None = None) -> list[int]:
    parsed = Filter.model_validate(rule)
    mask = parsed.mask(columns_of(SHOP), None if available is None else np.array(available))
    flags = available or [True] * len(SHOP)
    assert mask.tolist() == [parsed.matches(item, flag) for item, flag in zip(SHOP, flags, strict=True)]
    return np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"category": "sale"}, [0]),
        ({"category": ["boots", "shoes"]}, [0, 1]),
        ({"category": "Shoes"}, []),
        ({"attribute": "category", "equals": "boots"}, [1]),
        ({"attribute": "brand", "in": ["Acme", "Zeta", "Other"]}, [0, 1]),
        ({"attribute": "new", "equals": True}, [0]),
        ({"attribute": "new", "equals": 1}, []),
        ({"attribute": "size", "equals": True}, []),
        ({"attribute": "size", "equals": 1.0}, [2]),
        ({"attribute": "price", "equals": "80"}, [2]),
        ({"attribute": "price", "in": [80, "80"]}, [1, 2]),
        ({"attribute": "price", "min": 20}, [0, 1]),
        ({"attribute": "price", "min": 20, "max": 20}, [0]),
        ({"attribute": "price", "max": 19.99}, []),
        ({"not": {"attribute": "price", "min": 50}}, [0, 2, 3]),
        ({"not": {"category": "sale"}}, [1, 2, 3]),
        ({"attribute": "title", "equals": "nothing else"}, []),
        ({"all": [{"category": "shoes"}, {"attribute": "brand", "equals": "Acme"}]}, [0]),
        ({"any": [{"category": "boots"}, {"attribute": "size", "min": 0}]}, [1, 2]),
    ],
)
def test_every_form_allows_what_it_says(rule: dict[str, Any], expected: list[int]) -> None:
    assert allowed(rule) == expected


def test_unavailable_items_are_left_out_unless_the_filter_speaks_of_availability() -> None:
    available = [True, False, False, True]
    assert allowed({"category": ["shoes", "boots"]}, available) == [0]
    assert allowed({"not": {"category": "shoes"}}, available) == [3]
    assert allowed({"available": False}, available) == [1, 2]
    assert allowed({"any": [{"available": True}, {"category": "boots"}]}, available) == [0, 1, 3]


@settings(max_examples=500, deadline=None)
@given(
    items=st.lists(st.tuples(cases.metadata, st.booleans()), min_size=1, max_size=8),
    rule=cases.filters,
    chosen=st.lists(st.integers(0, 7), max_size=6),
)
def test_columns_single_items_and_the_plain_meaning_agree(
    items: list[tuple[dict[str, Any], bool]], rule: dict[str, Any], chosen: list[int]
) -> None:
    parsed, columns = Filter.model_validate(rule), columns_of([item for item, _ in items])
    available = np.array([flag for _, flag in items])
    expected = [cases.allows(rule, item, flag) for item, flag in items]
    assert parsed.mask(columns, available).tolist() == expected
    assert [parsed.matches(item, flag) for item, flag in items] == expected
    some = np.array([row for row in chosen if row < len(items)], dtype=np.int64)
    assert parsed.mask(Selection(columns, some), available[some]).tolist() == [expected[row] for row in some]


def shuffled(rule: Any, random: Any) -> Any:
    """The same filter in another order, with repetitions and nested once more."""
    if "all" in rule or "any" in rule:
        word = "all" if "all" in rule else "any"
        parts = [shuffled(part, random) for part in rule[word]]
        parts.append(random.choice(parts))
        random.shuffle(parts)
        return {word: [{word: parts[:1]}, *parts[1:]]}
    if "not" in rule:
        return {"not": shuffled(rule["not"], random)}
    if "in" in rule:
        more = [*rule["in"], random.choice(rule["in"])]
        random.shuffle(more)
        return rule | {"in": more}
    if "equals" in rule:
        return {"attribute": rule["attribute"], "in": [rule["equals"]]}
    return rule


@settings(max_examples=200, deadline=None)
@given(rule=cases.filters, random=st.randoms(use_true_random=False))
def test_the_key_ignores_order_repetition_and_nesting(rule: dict[str, Any], random: Any) -> None:
    other = shuffled(rule, random)
    if cases.depth(other) <= MAX_DEPTH:
        assert Filter.model_validate(other).key == Filter.model_validate(rule).key


@settings(max_examples=200, deadline=None)
@given(left=cases.filters, right=cases.filters, items=st.lists(cases.metadata, min_size=1, max_size=8))
def test_filters_with_one_key_allow_the_same(left: Any, right: Any, items: list[dict[str, Any]]) -> None:
    first, second = Filter.model_validate(left), Filter.model_validate(right)
    if first.key == second.key:
        assert [first.matches(item) for item in items] == [second.matches(item) for item in items]


def test_what_differs_in_meaning_differs_in_key() -> None:
    rules: list[dict[str, Any]] = [
        {"attribute": "a", "equals": 1},
        {"attribute": "a", "equals": "1"},
        {"attribute": "a", "equals": True},
        {"attribute": "a", "min": 1},
        {"attribute": "a", "max": 1},
        {"attribute": "b", "equals": 1},
        {"not": {"attribute": "a", "equals": 1}},
        {"any": [{"attribute": "a", "equals": 1}, {"attribute": "b", "equals": 1}]},
        {"all": [{"attribute": "a", "equals": 1}, {"attribute": "b", "equals": 1}]},
        {"available": True},
        {"available": False},
    ]
    assert len({Filter.model_validate(rule).key for rule in rules}) == len(rules)
    twice = Filter.model_validate({"not": {"not": {"category": "a"}}})
    assert twice.key == Filter.model_validate({"attribute": "category", "equals": "a"}).key


def nested(levels: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"category": "a"}
    for _ in range(levels - 1):
        rule = {"not": rule}
    return rule


@pytest.mark.parametrize(
    ("rule", "place", "message"),
    [
        ({}, "", 'a filter is {"all": [...]}'),
        ({"attribute": "price"}, "", "a filter is"),
        ({"all": []}, "all", "at least 1"),
        ({"all": [{"category": "a"}, {"brand": "b"}]}, "all.1", "a filter is"),
        ({"category": "a", "brand": "b"}, "brand", "Extra inputs"),
        ({"attribute": "price", "min": "3"}, "min", "valid number"),
        ({"attribute": "price", "min": float("nan")}, "min", "finite"),
        ({"attribute": "price", "min": 3, "max": 1}, "", "must not be over max"),
        ({"attribute": "brand", "in": ["a", None]}, "in.1", "a value is a string"),
        ({"attribute": "brand", "equals": ["a"]}, "equals", "a value is a string"),
        ({"category": 3}, "category", "valid list"),
        ({"available": "yes"}, "available", "valid boolean"),
        (nested(MAX_DEPTH + 1), "", f"at most {MAX_DEPTH} levels deep"),
        ({"any": [{"category": "a"}] * MAX_CONDITIONS}, "", f"at most {MAX_CONDITIONS} parts"),
    ],
)
def test_a_bad_filter_names_the_place(rule: Any, place: str, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Filter.model_validate(rule)
    error = raised.value.errors()[0]
    assert ".".join(str(part) for part in error["loc"] if not str(part).startswith("filter:")) == place
    assert message in error["msg"]


def test_a_filter_as_deep_and_as_long_as_allowed_is_fine() -> None:
    Filter.model_validate(nested(MAX_DEPTH))
    Filter.model_validate({"any": [{"category": "a"}] * (MAX_CONDITIONS - 1)})


@pytest.mark.parametrize("example", EXAMPLES)
def test_documented_examples_are_filters(example: dict[str, Any]) -> None:
    Filter.model_validate(example)
