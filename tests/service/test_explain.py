"""Explanations: prefixes found one by one in a table that can be read, ranks and scores of the lists themselves."""

from itertools import takewhile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.catalog import Catalog
from model.live_catalog import LiveCatalog
from service.explain import SharedPrefix, shared_prefixes
from tests.bundles import ITEMS, SPACE, SPACE_HASH, build_catalog, item_id
from tests.serving import Start

CODES = np.array(
    [
        [[1, 2, 3], [1, 2, 4], [1, 9, 3], [7, 2, 3]],
        [[5, 5, 5], [6, 5, 5], [5, 5, 6], [5, 1, 5]],
    ],
    dtype=np.uint8,
)


@pytest.fixture(scope="module")
def catalog() -> LiveCatalog:
    items = [(f"i{item}", {"title": f"Item {item}"}) for item in range(4)]
    return LiveCatalog.of(Catalog.build(SPACE, CODES, items, np.ones(4, dtype=np.int64), SPACE_HASH))


def test_shared_prefixes_stand_deepest_first_then_by_modality_then_the_latest(catalog: LiveCatalog) -> None:
    assert shared_prefixes(catalog, np.array([2, 1, 3, 1]), [0]) == [
        [
            SharedPrefix(1, "text", [1, 2]),
            SharedPrefix(2, "image", [5, 5]),
            SharedPrefix(2, "text", [1]),
            SharedPrefix(3, "image", [5]),
        ]
    ]


def test_without_history_or_items_there_is_nothing_to_share(catalog: LiveCatalog) -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert shared_prefixes(catalog, nothing, [0, 1]) == [[], []]
    assert shared_prefixes(catalog, np.array([1]), []) == []


@given(history=st.lists(st.integers(0, ITEMS - 1), max_size=8), items=st.lists(st.integers(0, ITEMS - 1), max_size=5))
def test_the_prefixes_are_those_of_a_comparison_code_by_code(history: list[int], items: list[int]) -> None:
    base = build_catalog()
    found = shared_prefixes(LiveCatalog.of(base), np.array(history, dtype=np.int64), items)
    for item, prefixes in zip(items, found, strict=True):
        expected = set()
        for modality, name in enumerate(SPACE.modalities):
            for other in history:
                pairs = zip(base.codes[modality, item].tolist(), base.codes[modality, other].tolist(), strict=True)
                codes = tuple(own for own, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                if codes:
                    expected.add((other, name, codes))
        assert sorted(expected) == sorted((each.item, each.modality, tuple(each.codes)) for each in prefixes)


def test_an_answer_explains_itself_if_asked(start: Start) -> None:
    client = start()
    body = {"history": [item_id(number) for number in range(6)], "exclude_seen": False, "k": ITEMS}
    plain = client.post("/recommend", json=body).json()["items"]
    assert all(item["explanation"] is None for item in plain)
    explained = client.post("/recommend", json={**body, "explain": True}).json()["items"]
    assert [item["id"] for item in explained] == [item["id"] for item in plain]
    for item in explained:
        lists = item["explanation"]["lists"]
        assert {modality: place["rank"] for modality, place in lists.items()} == item["ranks"]
        assert all(place["score"] <= 0 for place in lists.values())
    own = {item["id"]: item["explanation"]["shared_prefixes"] for item in explained}
    assert {"item_id": item_id(4), "modality": "text", "depth": 3} == {
        key: own[item_id(4)][0][key] for key in ("item_id", "modality", "depth")
    }
    assert not any(prefix["item_id"] == item_id(0) for prefix in own[item_id(0)]), (
        "the model reads five items, so the sixth from the end explains nothing"
    )


def test_popular_items_have_no_place_in_a_list(start: Start) -> None:
    answer = start().post("/recommend", json={"history": [], "explain": True}).json()
    assert answer["items"][0]["explanation"] == {"lists": {}, "shared_prefixes": []}
