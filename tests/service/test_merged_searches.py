"""Searches that run as one find what each finds alone, and only those that may run together do."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.bundle import Bundle
from service.engine import Engine
from service.merged_searches import MergedSearches, Merging
from service.search_rows import Leaves, SearchRows, TrieInputs, join_rows, part_leaves
from tests.bundles import ITEMS, item_id
from tests.searches import ASKED, CATALOG, SHAPES, Searches, check_same
from tests.serving import Clients, MakeSettings, running, until


@pytest.fixture(scope="module", params=SHAPES)
def searches(request: pytest.FixtureRequest, bundles: dict[str, Path]) -> Searches:
    return Searches(Engine(Bundle.load(bundles[request.param]).generator))


@given(asked=st.lists(ASKED, min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_joined_searches_find_what_each_finds_alone(
    searches: Searches, asked: list[tuple[list[int], list[int], list[int]]]
) -> None:
    # The narrowest list of the widest search has room for all leaves, so that no tie is cut off differently.
    rows = [searches.rows(*each, beam=ITEMS) for each in asked]
    together = searches.engine.search(searches.trie, join_rows(rows))
    parts = part_leaves(together, rows)
    assert [len(each.leaves) for each in parts] == [len(each.modality) for each in rows]
    for found, each in zip(parts, rows, strict=True):
        check_same(found, searches.alone(each))
        assert found.searches == len(rows)


class GatedRun:
    """The real search, which waits for permission and remembers how many rows each run had."""

    def __init__(self, engine: Engine) -> None:
        self.allowed = threading.Event()
        self.rows: list[int] = []
        self._engine = engine

    def __call__(self, trie: TrieInputs, rows: SearchRows) -> Leaves:
        self.rows.append(len(rows.modality))
        assert self.allowed.wait(20)
        return self._engine.search(trie, rows)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as made:
        yield made


def waiting(merged: MergedSearches) -> int:
    """Searches in groups that others may still join."""
    return sum(len(group.members) for group in merged._open.values())


def is_waiting(merged: MergedSearches, expected: int) -> bool:
    return waiting(merged) == expected


def test_what_comes_while_a_run_goes_on_runs_as_one_after_it(searches: Searches, pool: ThreadPoolExecutor) -> None:
    run = GatedRun(searches.engine)
    merged = MergedSearches(run, Merging(most=8))
    rows = [searches.rows([number, number + 1], [0, 1], [number]) for number in range(6)]
    first = pool.submit(merged.search, searches.trie, rows[0])
    until(lambda: run.rows == [2])
    later = [pool.submit(merged.search, searches.trie, each) for each in rows[1:]]
    until(lambda: waiting(merged) == 5)
    run.allowed.set()
    for found, each in zip([first, *later], rows, strict=True):
        check_same(found.result(20), searches.alone(each))
    assert run.rows == [2, 10]
    assert [each.result().searches for each in (first, *later)] == [1, 5, 5, 5, 5, 5]


def test_a_group_takes_no_more_than_it_may(searches: Searches, pool: ThreadPoolExecutor) -> None:
    run = GatedRun(searches.engine)
    merged = MergedSearches(run, Merging(most=2))
    rows = searches.rows([1, 2], [0], [])
    futures = [pool.submit(merged.search, searches.trie, rows)]
    until(lambda: run.rows == [1])
    for expected in (1, 0, 1, 0, 1):
        futures.append(pool.submit(merged.search, searches.trie, rows))
        until(partial(is_waiting, merged, expected))
    run.allowed.set()
    assert all(len(each.result(20).leaves) == 1 for each in futures)
    assert sorted(run.rows) == [1, 1, 2, 2]


def test_other_widths_and_other_filters_run_apart(searches: Searches, pool: ThreadPoolExecutor) -> None:
    run = GatedRun(searches.engine)
    merged = MergedSearches(run, Merging(most=8))
    allowed = np.ones(len(CATALOG.trie.child_code), dtype=np.bool_)
    filtered = searches.engine.restrict(searches.trie, allowed)
    rows, wider = searches.rows([1, 2], [0], []), searches.rows([1, 2], [0], [], beam=11)
    first = pool.submit(merged.search, searches.trie, rows)
    until(lambda: run.rows == [1])
    asked: list[Future[Leaves]] = []
    for trie, each in [(searches.trie, rows), (searches.trie, wider), (filtered, rows)]:
        asked += [pool.submit(merged.search, trie, each), pool.submit(merged.search, trie, each)]
    until(lambda: waiting(merged) == 6)
    run.allowed.set()
    assert [len(each.result(20).scores[0]) for each in (first, *asked)] == [10, 10, 10, 11, 11, 10, 10]
    assert run.rows == [1, 2, 2, 2]


def test_a_search_waits_for_company_only_as_long_as_told(searches: Searches, pool: ThreadPoolExecutor) -> None:
    run = GatedRun(searches.engine)
    run.allowed.set()
    rows = searches.rows([1, 2], [0], [])
    patient = MergedSearches(run, Merging(most=2, wait=20.0))
    pair = [pool.submit(patient.search, searches.trie, rows) for _ in range(2)]
    assert [each.result(10).searches for each in pair] == [2, 2]
    brief = MergedSearches(run, Merging(most=2, wait=0.01))
    assert brief.search(searches.trie, rows).searches == 1


def test_one_searchs_trouble_is_not_the_others(searches: Searches, pool: ThreadPoolExecutor) -> None:
    run = GatedRun(searches.engine)
    merged = MergedSearches(run, Merging(most=8))
    good = searches.rows([1, 2], [0], [])
    bad = good._replace(modality=np.array([99]))
    first = pool.submit(merged.search, searches.trie, good)
    until(lambda: run.rows == [1])
    others = [pool.submit(merged.search, searches.trie, each) for each in (good, bad, good)]
    until(lambda: waiting(merged) == 3)
    run.allowed.set()
    for found in (first, others[0], others[2]):
        check_same(found.result(20), searches.alone(good))
    with pytest.raises(Exception, match=r"99|index|out of"):
        others[1].result(20)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_service_that_merges_answers_as_one_that_does_not(
    settings: MakeSettings, bundles: dict[str, Path], shape: str
) -> None:
    bodies = [{"history": [item_id(n), item_id(n + 1), item_id(n + 2)][: 1 + n % 3]} for n in range(24)]
    with running(settings(bundle=bundles[shape])) as (_, url):
        alone = [Clients(url).ask(**body).json()["items"] for body in bodies]
    with running(settings(bundle=bundles[shape], merge=4, merge_wait=0.05)) as (server, url):
        assert server.service.settings.parallel_runs >= 8
        clients = Clients(url)
        asked = [clients.ask_soon(**body) for body in bodies]
        for future, expected in zip(asked, alone, strict=True):
            items = future.result().json()["items"]
            assert [each["id"] for each in items] == [each["id"] for each in expected]
            np.testing.assert_allclose(
                [each["score"] for each in items], [each["score"] for each in expected], rtol=1e-4
            )
        assert clients.metric("macrec_merged_searches_sum") > len(bodies), "some ran as one"
