"""New items get the places that are theirs by the rule, and nothing else of an answer changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.bundle import Bundle
from model.catalog import Catalog
from model.filters import Filter
from model.live_catalog import LiveCatalog
from service import scope
from service.engine import Engine
from service.new_items import _best, mix, places_of_new
from service.query import PrefixCap, Query, Recommended
from service.recommender import Recommender
from service.snapshot import Snapshot
from tests.bundles import ITEMS, SPACE, SPACE_HASH, build_catalog, item_id
from tests.snapshots import make_snapshot

NEW = set(range(0, ITEMS, 5))
BOTH = {"text": 1.0, "image": 1.0}
HISTORY = (item_id(3), item_id(11), item_id(4))


def recommended(*items: int) -> list[Recommended]:
    return [Recommended(item, -float(place), {"text": place + 1}, {}) for place, item in enumerate(items)]


def order(mixed: list[Recommended]) -> list[int]:
    return [each.item for each in mixed]


@pytest.mark.parametrize(
    ("after", "every", "expected"),
    [
        (0, 1, [91, 92, 1, 2, 3, 4, 5]),
        (0, 2, [1, 91, 2, 92, 3, 4, 5]),
        (2, 2, [1, 2, 3, 91, 4, 92, 5]),
        (4, 3, [1, 2, 3, 4, 5, 91, 92]),
        (99, 1, [1, 2, 3, 4, 5, 91, 92]),
    ],
)
def test_every_nth_place_behind_the_first_goes_to_a_new_item(after: int, every: int, expected: list[int]) -> None:
    assert order(mix(recommended(1, 2, 3, 4, 5), recommended(91, 92), after, every)) == expected


def test_a_new_item_that_earned_its_place_is_not_given_another() -> None:
    assert order(mix(recommended(1, 91, 2, 3), recommended(91, 92), 1, 2)) == [1, 91, 92, 2, 3]


@given(
    ranked=st.lists(st.integers(0, 30), unique=True),
    new=st.lists(st.integers(0, 30), unique=True),
    after=st.integers(0, 12),
    every=st.integers(1, 5),
)
def test_mixing_loses_and_doubles_nothing_and_keeps_both_orders(
    ranked: list[int], new: list[int], after: int, every: int
) -> None:
    mixed = order(mix(recommended(*ranked), recommended(*new), after, every))
    assert sorted(mixed) == sorted(set(ranked) | set(new))
    assert mixed[:after] == [*ranked, *(item for item in new if item not in ranked)][:after]
    assert [item for item in mixed if item not in new] == [item for item in ranked if item not in new]
    assert [item for item in mixed if item not in ranked] == [item for item in new if item not in ranked]


@pytest.mark.parametrize(
    ("k", "after", "every", "places"), [(50, 10, 3, 13), (10, 10, 3, 0), (5, 10, 1, 0), (9, 0, 0, 0)]
)
def test_places_of_new_items(k: int, after: int, every: int, places: int) -> None:
    query = Query(HISTORY, k, beam=1, weights=BOTH, new_after=after, new_every=every)
    assert places_of_new(query) == places


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, -2.0]), min_size=1, max_size=30), st.integers(1, 35))
def test_the_best_are_the_first_of_all_in_order(scores: list[float], count: int) -> None:
    expected = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:count]
    assert _best(np.array(scores), count).tolist() == expected


@pytest.fixture(scope="module")
def snapshot(bundle: Path) -> Snapshot:
    """Every fifth item was never seen in training."""
    whole = build_catalog()
    counts = np.where(np.isin(np.arange(ITEMS), list(NEW)), 0, np.maximum(whole.popularity, 1))
    items = [(item_id(item), whole.metadata(item)) for item in range(ITEMS)]
    catalog = LiveCatalog.of(Catalog.build(SPACE, whole.codes, items, counts, SPACE_HASH))
    loaded = Bundle.load(bundle)
    engine = Engine(loaded.generator)
    return make_snapshot(loaded, engine, catalog, catalog.trained)


def ask(snapshot: Snapshot, recommender: Recommender | None = None, **changes: object) -> list[Recommended]:
    query = replace(Query(HISTORY, k=ITEMS // 2, beam=200, weights=BOTH), **changes)  # type: ignore[arg-type]
    return (recommender or Recommender(max_beam=200)).recommend(snapshot, query).items


def test_new_items_stand_where_the_rule_says_and_the_others_keep_their_order(snapshot: Snapshot) -> None:
    before, after = ask(snapshot), ask(snapshot, new_after=4, new_every=2)
    assert [each.item for each in after[:4]] == [each.item for each in before[:4]]
    given = [place for place, each in enumerate(after, start=1) if each.is_new]
    assert given
    assert all(place > 4 and (place - 4) % 2 == 0 for place in given)
    assert all(after[place - 1].item in NEW for place in given)
    assert len(after) == len(before)
    kept = [each.item for each in after if each.item not in NEW]
    assert kept == [each.item for each in before if each.item not in NEW][: len(kept)]


@settings(max_examples=40, deadline=None)
@given(excluded=st.sets(st.integers(0, ITEMS - 1)), allowed=st.sets(st.integers(0, ITEMS - 1)), listed=st.booleans())
def test_rules_hold_for_new_items_too(
    snapshot: Snapshot, excluded: set[int], allowed: set[int], *, listed: bool
) -> None:
    rules: dict[str, Any] = {"exclude": tuple(map(item_id, excluded)), "new_after": 1, "new_every": 2, "k": ITEMS}
    if listed:
        rules["allow"] = tuple(map(item_id, allowed))
    found = {each.item for each in ask(snapshot, **rules)}
    wanted = (allowed if listed else set(range(ITEMS))) - excluded - {3, 11, 4}
    assert found == wanted


@settings(max_examples=30, deadline=None)
@given(allowed=st.sets(st.integers(0, ITEMS - 1), min_size=1))
def test_an_allow_list_ranks_new_items_as_excluding_the_rest_does(snapshot: Snapshot, allowed: set[int]) -> None:
    """So the small trie of a list knows which of its prefixes were trained, whatever else is in the list."""
    new: dict[str, Any] = {"new_after": 0, "new_every": 1, "k": ITEMS}
    rest = tuple(item_id(item) for item in range(ITEMS) if item not in allowed)
    by_list, by_rest = ask(snapshot, allow=tuple(map(item_id, allowed)), **new), ask(snapshot, exclude=rest, **new)
    assert [(each.item, each.is_new) for each in by_list] == [(each.item, each.is_new) for each in by_rest]
    assert [each.score for each in by_list] == pytest.approx([each.score for each in by_rest], abs=1e-5)


def test_a_filter_holds_for_new_items_too(snapshot: Snapshot) -> None:
    cheap = Filter.model_validate({"attribute": "price", "max": 30})
    found = ask(snapshot, filter=cheap, new_after=0, new_every=1, k=ITEMS)
    assert {each.item for each in found} == set(range(31)) - {3, 11, 4}
    assert [each.is_new for each in found[:7]] == [True] * 7


def test_caps_hold_with_new_items(snapshot: Snapshot) -> None:
    found = ask(snapshot, caps=(PrefixCap("text", 1, 2),), new_after=0, new_every=2, k=12)
    assert len(found) == 12
    first = snapshot.catalog.codes(0, np.array([each.item for each in found]))[:, 0]
    assert np.bincount(first).max() <= 2


@pytest.mark.parametrize("one_by_one", [0, scope.MOST_EXCLUDED])
def test_new_items_of_a_full_group_do_not_stand_in_the_way_of_others(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, one_by_one: int
) -> None:
    """The stated rule, with searches so narrow that every group comes back in the next one unless it is left out."""
    monkeypatch.setattr(scope, "MOST_EXCLUDED", one_by_one)
    rules: dict[str, Any] = {"weights": {"text": 1.0}, "beam": 2, "new_after": 0, "new_every": 1}
    narrow, cap = Recommender(max_beam=2), PrefixCap("image", 1, 1)
    groups = snapshot.catalog.codes(1, np.arange(ITEMS))[:, 0].tolist()
    taken: list[int] = []
    while len(taken) < 8:
        full = {groups[item] for item in taken}
        out = tuple(item_id(item) for item in range(ITEMS) if groups[item] in full)
        for each in ask(snapshot, narrow, k=6, exclude=out, **rules):
            if groups[each.item] not in {groups[item] for item in taken} and len(taken) < 8:
                taken.append(each.item)
    assert len(NEW & set(taken)) > 2
    found = ask(snapshot, narrow, k=8, caps=(cap,), **rules)
    assert [each.item for each in found] == taken


def test_the_new_item_that_is_most_like_what_is_expected_comes_first(snapshot: Snapshot) -> None:
    """The ranking's own trained items stand for what is expected, each with its probability."""
    ranked = ask(snapshot, k=20, beam=20)
    levels, new = SPACE.levels, sorted(NEW)
    likeness = np.zeros(len(new))
    for modality, name in enumerate(SPACE.modalities):
        found = [each for each in ask(snapshot, k=20, beam=20, weights={name: 1.0}) if each.item not in NEW]
        probabilities = np.exp([levels * each.scores[name] for each in found])
        codes = snapshot.catalog.codes(modality, np.arange(ITEMS))
        likeness += 0.5 * snapshot.codewords.likeness(
            modality,
            codes[new],
            codes[[each.item for each in found]],
            (probabilities / probabilities.sum()).astype(np.float32),
        )
    best = [new[place] for place in np.argsort(-likeness, kind="stable")]
    given = [each for each in ask(snapshot, k=20, beam=20, new_after=0, new_every=1) if each.is_new]
    assert [each.item for each in given] == [item for item in best if item not in {3, 11, 4}][: len(given)]
    assert [each.score for each in given] == sorted((each.score for each in given), reverse=True)
    assert len(ranked) == 20


def test_where_rules_leave_new_items_only_the_whole_catalog_tells_what_is_expected(snapshot: Snapshot) -> None:
    only_new = tuple(item_id(item) for item in NEW)
    alone = ask(snapshot, allow=only_new, new_after=0, new_every=1, k=ITEMS, exclude_seen=False)
    beside = ask(snapshot, new_after=0, new_every=1, k=ITEMS, exclude_seen=False)
    assert [each.item for each in alone] == [each.item for each in beside if each.is_new]


def test_a_catalog_without_new_items_is_searched_once(snapshot: Snapshot) -> None:
    allow = tuple(item_id(item) for item in range(ITEMS) if item not in NEW)
    assert ask(snapshot, allow=allow, new_after=0, new_every=1) == ask(snapshot, allow=allow)
