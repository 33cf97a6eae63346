"""Similar items are those that the formula says, and an item is never similar to itself."""

import numpy as np
import pytest

from model.catalog import Catalog
from model.live_catalog import LiveCatalog
from model.semantic_ids import IdSpace
from model.similar import similar_items

SPACE = IdSpace(("text", "image"), levels=2, codes=3)
CODES = np.array([[[0, 0], [0, 0], [0, 1], [2, 2]], [[1, 1], [1, 2], [2, 1], [0, 0]]], dtype=np.uint8)
BOOKS = np.array([[[[2, 0], [0, 2], [-2, 0]], [[1, 0], [0, 1], [-1, 0]]]] * 2, dtype=np.float32)


@pytest.fixture
def catalog() -> LiveCatalog:
    items: list[tuple[str, dict[str, object]]] = [(name, {}) for name in "abcd"]
    return LiveCatalog.of(Catalog.build(SPACE, CODES, items, np.arange(4), "s"))


def test_the_formula(catalog: LiveCatalog) -> None:
    found = similar_items(catalog, 0, 10, BOOKS)
    assert [each.item for each in found] == [1, 2, 3]
    # b: text equal; image shares 1 of 2: sums (0, 3) and (-1, 2), distance 2, lengths 9 and 5
    assert found[0].shared == [2, 1]
    assert found[0].distance == pytest.approx([0, 2])
    assert found[0].similarity == pytest.approx((1 + (1 + 1 - 2 / (2 * 14)) / 3) / 2)
    # d: text sums (3, 0) and (-3, 0) are opposite; image (0, 3) and (3, 0)
    assert found[2].shared == [0, 0]
    assert found[2].similarity == pytest.approx((0 + (1 - 18 / 36) / 3) / 2)


def test_without_codebooks_prefixes_decide(catalog: LiveCatalog) -> None:
    found = similar_items(catalog, 0, 2, None)
    assert [(each.item, each.similarity, each.distance) for each in found] == [(1, 0.75, None), (2, 0.25, None)]


def test_all_near_items_of_a_large_catalog_are_found() -> None:
    rng = np.random.default_rng(0)
    space = IdSpace(("text",), levels=3, codes=8)
    codes = rng.integers(0, 8, (1, 6000, 3), dtype=np.uint8)
    base = Catalog.build(space, codes, [(f"{n}", {}) for n in range(6000)], np.zeros(6000, dtype=np.int32), "s")
    books = rng.standard_normal((1, 3, 8, 4)).astype(np.float32)
    for item in (0, 17, 5999):
        same = int((codes[0] == codes[0, item]).all(axis=1).sum()) - 1
        found = similar_items(LiveCatalog.of(base), item, 50, books)
        assert [each.shared[0] for each in found[:same]] == [3] * same
        assert len(found) == 50
        assert item not in [each.item for each in found]
