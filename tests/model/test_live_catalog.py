"""A live catalog is what building one catalog of all its items would give, however the items came."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.catalog import Catalog
from model.filters import Filter
from model.live_catalog import LiveCatalog
from model.live_log import LiveItem, Standing
from model.semantic_ids import IdSpace
from tests import filters

SPACE = IdSpace(("text", "image"), levels=2, codes=4)
Codes = NDArray[np.uint8]


def base_catalog(ids: list[str], codes: Codes, **more: Any) -> Catalog:
    """Item i occurs i mod 3 times in training."""
    return Catalog.build(SPACE, codes, [(item, {"n": item}) for item in ids], np.arange(len(ids)) % 3, "s", **more)


def state(item_id: str, sequence: int, codes: Codes | None, **changes: Any) -> LiveItem:
    """An upserted item that is there."""
    packed = None if codes is None else codes.tobytes()
    values = {"deleted": False, "available": True, "metadata": {"title": f"{item_id} at {sequence}"}, "codes": packed}
    return LiveItem(item_id=item_id, sequence=sequence, **{**values, **changes})


def deletion(item_id: str, sequence: int, codes: Codes | None) -> LiveItem:
    return state(item_id, sequence, codes, deleted=True, metadata=None)


def shelves(live: LiveCatalog, modality: int) -> dict[tuple[int, ...], list[str]]:
    """The ids on each leaf in their order."""
    items, table = live.trie.leaf_item, {}
    first = modality * live.trie.items
    for leaf in range(live.trie.leaves):
        start, end = live.trie.leaf_start[leaf], live.trie.leaf_start[leaf + 1]
        if first <= start < first + live.trie.items:
            codes = live.codes(modality, items[start : start + 1].astype(np.int64))[0]
            table[tuple(codes.tolist())] = [live.item_id(item) for item in items[start:end].tolist()]
    return table


def there_by_popularity(live: LiveCatalog) -> list[int]:
    """Items that are not deleted, the most popular first."""
    return [item for part in live.popular for item in part.tolist() if not live.deleted[item]]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_however_items_come_the_catalog_is_that_of_all_of_them(data: st.DataObject) -> None:
    ids = [f"{letter}{number}" for letter in "zma" for number in range(5)]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    codes = rng.integers(0, data.draw(st.sampled_from([2, 4])), (2, len(ids), 2), dtype=np.uint8)
    known = data.draw(st.integers(1, len(ids) - 1))
    live = LiveCatalog.of(base_catalog(ids[:known], codes[:, :known]))
    latest: dict[str, LiveItem] = {}
    sequence = 0
    for batch in data.draw(st.lists(st.lists(st.integers(0, len(ids) - 1), max_size=4), max_size=5)):
        items = {}
        for row in batch:
            sequence += 1
            make = data.draw(st.sampled_from([state, deletion]))
            items[ids[row]] = make(ids[row], sequence, codes[:, row])
        latest |= items
        live = live.apply(sequence, items.values())
    there = [row for row, item in enumerate(ids) if (row < known or item in latest)]
    gone = [n for n, row in enumerate(there) if ids[row] in latest and latest[ids[row]].deleted]
    if len(gone) == len(there):
        assert live.trie.leaves == 0
        return
    counts = np.array([row % 3 if row < known else 0 for row in there])
    names: list[tuple[str, dict[str, Any]]] = [(ids[row], {}) for row in there]
    once = Catalog.build(SPACE, codes[:, there], names, counts, "s", deleted=np.array(gone, dtype=np.int32))
    for modality in range(2):
        assert shelves(live, modality) == shelves(LiveCatalog.of(once), modality)
    for row in there:
        found = live.find(ids[row])
        assert found is not None
        assert live.item_id(found) == ids[row]
        assert live.codes(1, np.array([found]))[0].tolist() == codes[1, row].tolist()
        stands = bool(live.trie.item_leaf[1, found] >= 0)
        assert stands != bool(live.deleted[found])
        if ids[row] in latest:
            assert bool(live.deleted[found]) == latest[ids[row]].deleted
    assert sorted(there_by_popularity(live)) == np.flatnonzero(~live.deleted).tolist()
    some = np.array(data.draw(st.permutations(range(len(live))))[: len(live) // 2 + 1])
    assert live.by_rank(some).tolist() == sorted(some.tolist(), key=live.rank)


BASE = np.array([[[0, 1], [0, 2], [3, 3]], [[1, 1], [2, 0], [2, 2]]], dtype=np.uint8)
NEW = np.array([[0, 3], [2, 1]], dtype=np.uint8)


def test_an_upserted_item_is_found_and_named_and_the_base_stays_as_it_was() -> None:
    before = LiveCatalog.of(base_catalog(["a", "b", "c"], BASE))
    live = before.apply(7, [state("new", 7, NEW)])
    assert (live.version, before.version) == (f"{before.base.version}+7", before.base.version)
    assert (live.find("new"), before.find("new"), len(live), len(before)) == (3, None, 4, 3)
    assert live.metadata(3) == {"title": "new at 7"}
    assert live.find_rows(["new", "a", "never"]).tolist() == [3, 0, -1]
    assert live.codes(0, np.array([3, 0])).tolist() == [[0, 3], [0, 1]]
    assert live.popularity.tolist() == [0, 1, 2, 0]
    assert there_by_popularity(live) == [2, 1, 0, 3]
    assert live.trie.items == 4
    assert before.trie.items == 3


def test_an_item_of_the_base_keeps_its_codes_and_takes_new_metadata() -> None:
    live = LiveCatalog.of(base_catalog(["a", "b", "c"], BASE)).apply(1, [state("b", 1, NEW)])
    assert live.codes(0, np.array([1])).tolist() == [[0, 2]]
    assert live.metadata(1) == {"title": "b at 1"}
    assert live.apply(2, [deletion("b", 2, None)]).metadata(1) == {"n": "b"}


def test_a_deleted_item_keeps_its_codes_and_its_leaf_is_nobodys() -> None:
    live = LiveCatalog.of(base_catalog(["a", "b", "c"], BASE)).apply(1, [state("new", 1, NEW)])
    live = live.apply(3, [deletion("b", 2, None), deletion("new", 3, NEW)])
    assert live.trie.items == 2
    assert live.codes(0, np.array([1, 3])).tolist() == [[0, 2], [0, 3]]
    assert live.taken_under(0, (0,)).tolist() == [False, True, True, True]
    assert live.taken_under(1, (2,)).tolist() == [True, True, True, False]
    assert live.taken_under(0, (1,)).tolist() == [False] * 4
    assert (live.standing("b"), live.standing("x")) == (Standing(deleted=True), None)
    assert live.apply(4, [state("new", 4, NEW)]).find("new") == 3


def test_availability_leaves_the_trie_alone() -> None:
    before = LiveCatalog.of(base_catalog(["a", "b", "c"], BASE, unavailable=np.array([0])))
    live = before.apply(1, [state("b", 1, None, available=False, metadata=None), state("a", 2, None)])
    assert live.trie is before.trie
    assert (before.available.tolist(), live.available.tolist()) == ([False, True, True], [True, False, True])
    assert live.metadata(1) == {"n": "b"}


def test_an_item_that_is_back_stands_where_its_popularity_puts_it() -> None:
    base = base_catalog(["a", "b", "c"], BASE, deleted=np.array([2]))
    back = LiveCatalog.of(base).apply(2, [state("c", 1, None), state("new", 2, NEW)])
    assert back.popularity_of(np.arange(4)).tolist() == [0, 1, 2, 0]
    assert there_by_popularity(back) == [2, 1, 0, 3]


def test_requests_find_worked_out_what_a_change_of_the_catalog_changes() -> None:
    live = LiveCatalog.of(base_catalog(["a", "b", "c"], BASE)).apply(1, [state("new", 1, NEW)])
    live.work_out()
    assert {"hidden", "unavailable", "has_new_items", "popular"} <= set(vars(live))
    assert (live.hidden, live.unavailable, live.has_new_items) == (0, 0, True)


def test_an_unknown_item_without_codes_is_passed_over() -> None:
    live = LiveCatalog.of(base_catalog(["a", "b", "c"], BASE)).apply(9, [deletion("old", 9, None)])
    assert (len(live), live.find("old"), live.sequence) == (3, None, 9)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), rule=filters.filters)
def test_a_filter_allows_what_it_says_of_items_old_changed_and_new(data: st.DataObject, rule: dict[str, Any]) -> None:
    ids = list("abcdefg")
    metadata = {item: data.draw(filters.metadata) for item in ids}
    built = Catalog.build(
        SPACE,
        np.zeros((2, 4, 2), dtype=np.uint8),
        [(item, metadata[item]) for item in ids[:4]],
        np.zeros(4, dtype=np.int32),
        "s",
    )
    live, there, sequence = LiveCatalog.of(built), dict.fromkeys(ids[:4], True), 0
    for item in data.draw(st.lists(st.sampled_from(ids), max_size=8)):
        sequence += 1
        what = data.draw(st.sampled_from(["upsert", "hide", "delete"]))
        if what == "delete" or (what == "hide" and item not in there):
            there.pop(item, None)
            live = live.apply(sequence, [deletion(item, sequence, NEW)])
            continue
        metadata[item] = data.draw(filters.metadata)
        there[item] = what == "upsert"
        changed = {"available": there[item], "metadata": metadata[item]}
        live = live.apply(sequence, [state(item, sequence, NEW, **changed)])
    names = [live.item_id(number) for number in range(len(live))]
    plainly = [name in there and filters.allows(rule, metadata[name], there[name]) for name in names]
    unfiltered = [there.get(name, False) for name in names]
    some = np.array(data.draw(st.lists(st.integers(0, len(live) - 1), max_size=5)), dtype=np.int64)
    for parsed, expected in ((Filter.model_validate(rule), plainly), (None, unfiltered)):
        allowed, among = live.allowed_items(parsed), live.allowed_items(parsed, some)
        assert (allowed is None and all(there.values())) or (allowed is not None and allowed.tolist() == expected)
        assert (among is None) == (allowed is None)
        assert among is None or among.tolist() == [expected[number] for number in some]
