"""Blending: who stands where is a rule that can be written down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.blend import blend
from service.query import Recommended


def generated(*items: int) -> list[Recommended]:
    return [Recommended(item, -float(item), {"text": 1}, {"text": -float(item)}) for item in items]


def popular(*items: int) -> list[Recommended]:
    return [Recommended(item, 0.5, {}, {}) for item in items]


def places(mixed: list[Recommended]) -> list[str]:
    return [f"{each.source[0]}{each.item}" for each in mixed]


@pytest.mark.parametrize(
    ("known", "enough", "expected"),
    [
        (1, 3, "g1 p11 p12 g2 p13 p14 g3 p15 g4 g5"),
        (2, 3, "g1 g2 p11 g3 g4 p12 g5 p13 p14 p15"),
        (1, 2, "g1 p11 g2 p12 g3 p13 g4 p14 g5 p15"),
        (4, 5, "g1 g2 g3 g4 p11 g5 p12 p13 p14 p15"),
    ],
)
def test_of_every_few_places_the_first_belong_to_the_search(known: int, enough: int, expected: str) -> None:
    mixed = blend(generated(1, 2, 3, 4, 5), popular(11, 12, 13, 14, 15), known, enough)
    assert places(mixed) == expected.split()


def test_an_item_of_both_lists_stands_once_where_it_came_first() -> None:
    assert places(blend(generated(1, 2, 3), popular(1, 3, 4), 1, 3)) == ["g1", "p3", "p4", "g2"]


@given(
    first=st.lists(st.integers(0, 30), unique=True),
    second=st.lists(st.integers(0, 30), unique=True),
    known=st.integers(1, 5),
    more=st.integers(1, 5),
)
def test_every_item_stands_once_and_each_list_keeps_its_order(
    first: list[int], second: list[int], known: int, more: int
) -> None:
    mixed = blend(generated(*first), popular(*second), known, known + more)
    items = [each.item for each in mixed]
    assert sorted(items) == sorted({*first, *second})
    for source, whole in (("generated", first), ("popular", second)):
        own = [each.item for each in mixed if each.source == source]
        assert own == [item for item in whole if item in set(own)]
