"""Runs over buffers that stay find what other runs find, whatever was in the buffers before."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.bundle import Bundle
from model.trie import Trie, build_trie
from service import captured_runs
from service.capture_gate import GATE
from service.engine import Engine
from service.merged_searches import Merging
from service.search_rows import SearchRows, TrieInputs
from tests.bundles import ITEMS, random_codes
from tests.searches import ASKED, CATALOG, SHAPES, Searches, check_same
from tests.serving import until

WIDTH = 10
EVERYTHING = 3 * ITEMS
"""A width with room for all leaves, so that no tie is cut off differently."""

OTHER, LARGER = build_trie(random_codes(seed=5)), build_trie(random_codes(3 * ITEMS, 6))
EVEN_LARGER = build_trie(random_codes(9 * ITEMS, 6))


@pytest.fixture(scope="module", params=SHAPES)
def generator(request: pytest.FixtureRequest, bundles: dict[str, Path]) -> Path:
    return Bundle.load(bundles[request.param]).generator


class Both:
    """The same searches by an engine with buffers that stay and by one without."""

    def __init__(self, generator: Path, width: int = WIDTH) -> None:
        self.captured = Searches(Engine(generator, capture=width))
        self.plain = Searches(Engine(generator))
        self.tries = [self._prepared(trie) for trie in (CATALOG.trie, OTHER, LARGER)]
        odd = np.arange(len(CATALOG.trie.child_code)) % 2 == 1
        self.tries.append(tuple(each.engine.restrict(each.trie, odd) for each in (self.captured, self.plain)))
        self.tries.append(self._prepared(EVEN_LARGER))

    def _prepared(self, trie: Trie) -> tuple[TrieInputs, ...]:
        engines = self.captured.engine, self.plain.engine
        return tuple(engine.prepare(trie, np.ones(trie.items, dtype=np.bool_)) for engine in engines)

    @property
    def graphs(self) -> int:
        return self.captured.engine.graphs

    def check(self, rows: SearchRows, over: int = 0) -> None:
        captured, plain = self.tries[over]
        check_same(self.captured.engine.search(captured, rows), self.plain.engine.search(plain, rows))


@pytest.fixture
def both(generator: Path) -> Both:
    return Both(generator)


@pytest.fixture(scope="module")
def wide(generator: Path) -> Both:
    return Both(generator, EVERYTHING)


@given(asked=st.lists(st.tuples(ASKED, st.integers(0, 3)), min_size=2, max_size=8))
@settings(max_examples=25, deadline=None)
def test_any_searches_in_any_order_find_what_they_find_elsewhere(
    wide: Both, asked: list[tuple[tuple[list[int], list[int], list[int]], int]]
) -> None:
    for each, over in asked:
        wide.check(wide.plain.rows(*each, beam=EVERYTHING), over)


@pytest.mark.parametrize("beam", [1, 5, 20])
def test_the_width_is_the_one_that_was_asked_for(generator: Path, beam: int) -> None:
    both = Both(generator, beam)
    for items in (1, 2, 3, 2, 1):
        rows = both.plain.rows(list(range(items)), [0, 1], [4, 5], beam)
        both.check(rows)
        assert both.captured.alone(rows).leaves.shape == (2, beam)
    assert both.graphs


def test_searches_of_another_width_just_run(both: Both) -> None:
    for _ in range(3):
        both.check(both.plain.rows([1], [0, 1], [], beam=WIDTH + 1))
    assert both.graphs == 0


def test_what_was_found_stays_when_others_search(both: Both) -> None:
    rows, others = both.plain.rows([1, 2], [0, 1], []), both.plain.rows([7, 9], [0, 1], [])
    for _ in range(2):
        both.captured.alone(rows)
    found = both.captured.alone(rows)
    before = found.leaves.copy(), found.scores.copy()
    both.captured.alone(others)
    np.testing.assert_array_equal(found.leaves, before[0])
    np.testing.assert_array_equal(found.scores, before[1])


def test_a_size_is_bound_when_it_comes_again(both: Both) -> None:
    counts = []
    for items in (1, 3, 1, 4, 4, 2):
        both.captured.alone(both.plain.rows([0] * items, [0, 1], []))
        counts.append(both.graphs)
    # Three items run as four do.
    assert counts == [0, 0, 1, 2, 2, 2]


def test_only_so_many_sizes_are_bound(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_runs, "MOST_GRAPHS", 2)
    for items in (1, 2, 4, 5):
        for _ in range(3):
            both.check(both.plain.rows([0] * items, [0, 1], []))
    assert both.graphs == 2


def test_a_larger_catalog_begins_anew_beside_the_one_that_it_replaces(both: Both) -> None:
    rows = both.plain.rows([1, 2], [0, 1], [3])
    for over, graphs in ((0, 0), (0, 1), (1, 1), (3, 1), (2, 1), (0, 1), (2, 2), (3, 2), (2, 2)):
        both.check(rows, over)
        assert both.graphs == graphs
    # Of three sizes the one that was used longest ago is let go.
    both.check(rows, over=4)
    assert both.graphs == 1
    both.check(rows, over=2)
    assert both.graphs == 1
    both.check(rows, over=0)
    assert both.graphs == 1


def test_threads_do_not_see_each_others_searches(both: Both) -> None:
    asked = [both.plain.rows([item, item + 1], [0, 1], [item]) for item in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(both.captured.alone, asked))
    for each, rows in zip(found, asked, strict=True):
        check_same(each, both.plain.alone(rows))


def test_one_thread_makes_all_runs(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime keeps captured graphs for each thread: another thread would capture anew."""
    seen = set()

    def noting(name: str) -> None:
        plain = getattr(onnxruntime.InferenceSession, name)

        def noted(*arguments: Any) -> Any:
            seen.add(threading.get_ident())
            return plain(*arguments)

        monkeypatch.setattr(onnxruntime.InferenceSession, name, noted)

    noting("run_with_iobinding")
    noting("run_with_ort_values")
    both.captured.engine.warm(both.captured.trie)
    asked = [both.plain.rows([item], [0, 1], []) for item in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(both.captured.alone, asked))
    assert len(seen) == 1
    assert seen != {threading.get_ident()}


def test_a_size_that_cannot_be_captured_just_runs(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = both.plain.rows([1, 2], [0, 1], [])

    def fail(*_: object) -> None:
        raise RuntimeError("no memory for a graph")

    with monkeypatch.context() as patched:
        patched.setattr(onnxruntime.InferenceSession, "run_with_iobinding", fail)
        for _ in range(2 + captured_runs.MOST_FAILURES):
            both.check(rows)
    for _ in range(2):
        both.check(rows)
        both.check(both.plain.rows([3], [0, 1], []))
    assert both.graphs == 1


def test_a_size_is_not_captured_while_others_use_the_gpu(both: Both) -> None:
    rows = both.plain.rows([1, 2], [0, 1], [])
    both.check(rows)
    with GATE.use():
        both.check(rows)
        assert both.graphs == 0
    both.check(rows)
    assert both.graphs == 1


def test_an_ended_session_is_freed_while_nobody_captures(generator: Path) -> None:
    both = Both(generator)
    rows = both.plain.rows([1, 2], [0, 1], [])
    for _ in range(2):
        both.check(rows)
    session = weakref.ref(both.captured.engine._session)
    with GATE.capture() as is_alone:
        assert is_alone
        del both
        gc.collect()
        assert session() is not None
    until(lambda: session() is None)


def test_after_a_failed_copy_nothing_is_taken_to_be_there(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = both.plain.rows([1, 2], [0, 1], [])
    both.check(rows)
    plain, copied = onnxruntime.OrtValue.update_inplace, []

    def fail_at_second(value: onnxruntime.OrtValue, data: Any) -> None:
        copied.append(data)
        if len(copied) == 2:
            raise RuntimeError("no memory for a copy")
        plain(value, data)

    with monkeypatch.context() as patched:
        patched.setattr(onnxruntime.OrtValue, "update_inplace", fail_at_second)
        with pytest.raises(RuntimeError, match="no memory for a copy"):
            both.check(rows, over=1)
    both.check(rows)
    both.check(rows, over=1)


def test_an_engine_is_warm_for_all_lengths_and_groups(generator: Path) -> None:
    searches = Searches(Engine(generator, capture=WIDTH, merging=Merging(most=3)))
    searches.engine.warm(searches.trie)
    # Histories of 1, 2, 4 and 5 items, and of each groups of 1, 2 and 3, which runs as 4.
    assert searches.engine.graphs == 12
    for items in (1, 2, 3, 4, 5):
        searches.alone(searches.rows(list(range(items)), [0, 1], excluded=list(range(items)), beam=WIDTH))
    assert searches.engine.graphs == 12


def test_an_engine_without_buffers_has_nothing_to_warm(generator: Path) -> None:
    searches = Searches(Engine(generator))
    searches.engine.warm(searches.trie)
    assert searches.engine.graphs == 0


def test_states_of_histories_are_not_kept_where_searches_are_captured(generator: Path) -> None:
    assert Engine(generator, state_bytes=1 << 20, capture=WIDTH).states is None


def test_tries_of_nearly_the_same_size_have_the_same_sizes(generator: Path) -> None:
    engine = Engine(generator, capture=WIDTH)
    tries = [build_trie(random_codes(items, seed=2)) for items in (ITEMS + 1, ITEMS + 2)]
    assert len(tries[0].child_code) < len(tries[1].child_code)
    sizes = [
        {name: each.shape() for name, each in engine.prepare(trie, np.ones(trie.items, dtype=np.bool_)).values.items()}
        for trie in tries
    ]
    assert sizes[0] == sizes[1]
