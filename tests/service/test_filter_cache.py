"""Filters are worked out once however many ask, within their bytes, and for the catalog that they are asked of."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.bundle import Bundle
from model.filters import Filter
from model.live_catalog import LiveCatalog
from model.live_log import LiveItem
from service import filter_cache
from service.engine import Engine
from service.filter_cache import FilterCache, Restriction
from service.snapshot import Snapshot
from tests.bundles import ITEMS, build_catalog, item_id, random_codes
from tests.snapshots import make_snapshot


def rule(price: int) -> Filter:
    return Filter.model_validate({"attribute": "price", "min": price})


@pytest.fixture(scope="module")
def snapshots(bundle: Path) -> list[Snapshot]:
    """The same catalog, and a shorter one."""
    loaded = Bundle.load(bundle)
    engine = Engine(loaded.generator)
    made = []
    for items in (ITEMS, ITEMS - 20):
        catalog = LiveCatalog.of(build_catalog(items))
        made.append(make_snapshot(loaded, engine, catalog))
    return made


def total(found: tuple[Restriction | None, bool]) -> tuple[int, bool]:
    assert found[0] is not None
    return found[0].allowed.total, found[1]


def test_every_catalog_has_its_own_answer(snapshots: list[Snapshot]) -> None:
    cache = FilterCache()
    assert [total(cache.get(snapshot, rule(30))) for snapshot in snapshots] == [(30, False), (10, False)]
    assert [total(cache.get(snapshot, rule(30))) for snapshot in snapshots] == [(30, True), (10, True)]
    assert cache.get(snapshots[0], None) == (None, False)
    assert cache.get(snapshots[0], None) == (None, True)


def test_the_filters_used_last_are_ready_before_a_swap(snapshots: list[Snapshot]) -> None:
    cache = FilterCache()
    for price in range(20):
        cache.get(snapshots[0], rule(price))
    cache.prepare(snapshots[1])
    known = [cache.get(snapshots[1], rule(price))[1] for price in range(20)]
    assert known == [False] * (20 - filter_cache.RECENT) + [True] * filter_cache.RECENT


@pytest.mark.parametrize("used", ["items", "popular"])
def test_what_requests_used_of_a_filter_is_made_ready_too(snapshots: list[Snapshot], used: str) -> None:
    cache = FilterCache()
    before, _ = cache.get(snapshots[0], rule(1))
    assert before is not None
    getattr(before, used)
    cache.prepare(snapshots[1])
    ready, _ = cache.get(snapshots[1], rule(1))
    assert {"items", "popular"} & set(vars(ready)) == {used}


def test_filters_that_nobody_uses_any_more_are_not_made_ready(
    snapshots: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FilterCache()
    cache.get(snapshots[0], rule(1))
    monkeypatch.setattr(filter_cache, "RECENT_SECONDS", 0.0)
    cache.prepare(snapshots[1])
    assert not cache.get(snapshots[1], rule(1))[1]


def test_the_bytes_are_bounded_and_the_least_recently_used_goes_first(snapshots: list[Snapshot]) -> None:
    one = FilterCache()
    one.get(snapshots[0], rule(1))
    cache = FilterCache(max_bytes=one.nbytes * 3)
    for price in (1, 2, 3, 1, 4):
        cache.get(snapshots[0], rule(price))
    assert cache.nbytes == cache.max_bytes
    assert [cache.get(snapshots[0], rule(price))[1] for price in (1, 3, 4, 2)] == [True, True, True, False]
    tiny = FilterCache(max_bytes=1)
    tiny.get(snapshots[0], rule(1))
    assert tiny.get(snapshots[0], rule(1))[1], "the last one stays, or nothing were ever known"


def changed(snapshot: Snapshot, sequence: int, **values: Any) -> Snapshot:
    """The snapshot after one change of an item."""
    item = {"item_id": item_id(sequence % 7), "deleted": False, "available": True, "metadata": None, "codes": None}
    return snapshot.with_catalog(snapshot.catalog.apply(sequence, [LiveItem(sequence=sequence, **{**item, **values})]))


def test_what_was_known_of_catalogs_that_are_gone_is_forgotten(snapshots: list[Snapshot]) -> None:
    cache, snapshot = FilterCache(), snapshots[0]
    for sequence in range(1, 30):
        for asked in (None, rule(5)):
            cache.get(snapshot, asked)
        snapshot = changed(snapshot, sequence, available=bool(sequence % 3))
        cache.prepare(snapshot)
    assert len(cache) == 4, "two filters for what is served and for what was served before"
    assert cache.nbytes <= 4 * (2 * ITEMS + len(snapshot.catalog.trie.child_code))


@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["hide", "show", "delete", "dear", "new"])), max_size=8
    )
)
def test_a_filter_made_ready_from_the_one_before_is_the_filter_worked_out_anew(
    snapshots: list[Snapshot], changes: list[tuple[int, str]]
) -> None:
    codes = random_codes(70, seed=5)[:, 60:]
    cache, snapshot = FilterCache(), snapshots[0]
    for sequence, (item, what) in enumerate(changes, start=1):
        cache.get(snapshot, rule(30))
        cache.get(snapshot, rule(30), new_only=True)
        values: dict[str, Any] = {"item_id": item_id(27 + item), "available": what != "hide"}
        if what == "delete":
            values["deleted"] = True
        elif what == "dear":
            values["metadata"] = {"price": 10.0 * item}
        elif what == "new":
            values |= {"item_id": f"new {item}", "metadata": {"price": 31.0}, "codes": codes[:, item].tobytes()}
        snapshot = changed(snapshot, sequence, **values)
        cache.prepare(snapshot)
        for new_only in (False, True):
            ready, known = cache.get(snapshot, rule(30), new_only=new_only)
            anew = filter_cache.restrict(snapshot, rule(30), new_only=new_only)
            assert known
            assert ready is not None
            assert anew is not None
            assert ready.allowed.items.tolist() == anew.allowed.items.tolist()
            assert ready.allowed.edges.tolist() == anew.allowed.edges.tolist()


@pytest.mark.parametrize("head", [1, 7, 1000])
def test_a_filter_lists_its_popular_items_and_behind_some_of_them_all_others(
    snapshots: list[Snapshot], monkeypatch: pytest.MonkeyPatch, head: int
) -> None:
    monkeypatch.setattr(filter_cache, "HEAD", head)
    monkeypatch.setattr(filter_cache, "FIRST_LOOK", 2)
    found, _ = FilterCache().get(snapshots[0], rule(40))
    assert found is not None
    first, everyone = found.popular[0].tolist(), np.concatenate(found.popular)
    assert first == list(range(40, 40 + len(first)))
    assert len(first) >= min(head, ITEMS - 40)
    assert everyone[everyone >= 40].tolist() == list(range(40, ITEMS))
    assert head < ITEMS or len(everyone) == ITEMS - 40


def test_many_that_ask_at_once_wait_for_one(snapshots: list[Snapshot], monkeypatch: pytest.MonkeyPatch) -> None:
    cache, begun, go = FilterCache(), threading.Barrier(9), threading.Event()
    worked_out = []

    def slow(snapshot: Snapshot, asked: Filter | None, **more: Any) -> Restriction | None:
        worked_out.append(asked)
        assert go.wait(20)
        return real(snapshot, asked, **more)

    def ask() -> tuple[int, bool]:
        begun.wait(20)
        return total(cache.get(snapshots[0], rule(30)))

    real = filter_cache.restrict
    monkeypatch.setattr(filter_cache, "restrict", slow)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask) for _ in range(8)]
        begun.wait(20)
        go.set()
        found = [answer.result(20) for answer in answers]
    assert sorted(found) == [(30, False)] + [(30, True)] * 7
    assert len(worked_out) == 1


def test_a_failure_reaches_who_asked_and_is_not_kept(
    snapshots: list[Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FilterCache()

    def fail(snapshot: Snapshot, asked: Filter | None, **more: Any) -> Restriction | None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(filter_cache, "restrict", fail)
        with pytest.raises(MemoryError):
            cache.get(snapshots[0], rule(30))
    assert total(cache.get(snapshots[0], rule(30))) == (30, False)
