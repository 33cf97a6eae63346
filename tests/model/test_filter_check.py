"""A filter that a catalog cannot apply is refused with what exists; a value that nobody has is only a hint."""

from typing import Any

import pytest

from model.attribute_files import ColumnsBuilder
from model.attributes import Value
from model.errors import FilterError
from model.filter_check import SHOWN, Known, check_filter
from model.filters import Filter

ITEMS: list[dict[str, Any]] = [
    {"category": ["sneakers"], "price": 10, "attributes": {"brand": "Acme", "size": "M", "new": True}},
    {"category": ["boots"], "price": 90, "attributes": {"brand": "Zeta", "size": 42}},
]


def check(rule: dict[str, Any], items: list[dict[str, Any]] | None = None) -> list[str]:
    builder = ColumnsBuilder()
    for item in ITEMS if items is None else items:
        builder.add(item)
    return check_filter(Filter.model_validate(rule), Known([builder.build()]))


@pytest.mark.parametrize(
    ("rule", "field", "message"),
    [
        ({"attribute": "brnd", "equals": "Acme"}, "filter.attribute", "did you mean 'brand'?"),
        ({"attribute": "xyz", "min": 1}, "filter.attribute", "there are 'brand', 'category', 'new', 'price', 'size'"),
        ({"all": [{"not": {"attribute": "pric", "max": 1}}]}, "filter.all.0.not.attribute", "did you mean 'price'?"),
        ({"attribute": "brand", "min": 3}, "filter.min", "'brand' has strings as values, not numbers"),
        ({"attribute": "price", "equals": "10"}, "filter.equals", "'price' has numbers as values, not strings"),
        ({"attribute": "brand", "in": ["Acme", True]}, "filter.in.1", "'brand' has strings as values, not booleans"),
        ({"attribute": "size", "equals": True}, "filter.equals", "'size' has strings and numbers as values"),
    ],
)
def test_what_no_item_could_ever_satisfy_is_refused(rule: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(FilterError) as raised:
        check(rule)
    assert raised.value.field == field
    assert message in raised.value.message


def test_a_catalog_without_categories_or_attributes_says_so() -> None:
    with pytest.raises(FilterError, match=r"filter\.category: .* 'category'; there are 'brand'"):
        check({"category": "a"}, [{"brand": "Acme"}])
    with pytest.raises(FilterError, match="this catalog's items have none"):
        check({"category": "a"}, [{"title": "A"}])


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ({"category": "sneaker"}, "filter.category.0: no item has category 'sneaker'; did you mean 'sneakers'?"),
        ({"category": ["boots", "q"]}, "filter.category.1: no item has category 'q'; there are 'boots', 'sneakers'"),
        (
            {"attribute": "price", "equals": 100},
            "filter.equals: no item has price 100.0; the values lie between 10.0 and 90.0",
        ),
    ],
)
def test_a_value_that_no_item_has_is_a_hint(rule: dict[str, Any], hint: str) -> None:
    assert check(rule) == [hint]


@pytest.mark.parametrize(
    "rule",
    [
        {"category": "boots"},
        {"attribute": "size", "in": ["M", 42]},
        {"attribute": "new", "equals": False},
        {"attribute": "price", "min": 1000},
        {"available": False},
    ],
)
def test_what_exists_needs_no_hint(rule: dict[str, Any]) -> None:
    assert check(rule) == []


class Counting(Known):
    """Counts the values that it is asked for."""

    asked = 0

    def may_have(self, name: str, value: Value) -> bool:
        self.asked += 1
        return super().may_have(name, value)


def test_a_filter_of_many_unknown_values_costs_no_more_than_the_hints_that_are_given() -> None:
    builder = ColumnsBuilder()
    for item in ITEMS:
        builder.add(item)
    known = Counting([builder.build()])
    parts = [{"attribute": "brand", "in": [f"Acm{part}{value}" for value in range(1000)]} for part in range(50)]
    hints = check_filter(Filter.model_validate({"any": parts}), known)
    assert len(hints) == SHOWN
    assert "did you mean 'Acme'?" in hints[0]
    assert known.asked <= SHOWN + 1


def test_long_words_are_not_compared() -> None:
    [hint] = check({"attribute": "brand", "equals": "Acme" * 100})
    assert hint.endswith("there are 'Acme', 'Zeta'")
