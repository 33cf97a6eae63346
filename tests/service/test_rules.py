"""Filters, allow lists, exclusions and caps give exactly what a search of the allowed items alone would find."""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from model.bundle import Bundle
from model.catalog import Catalog
from model.filters import Filter
from model.live_catalog import LiveCatalog
from model.transformer import Transformer
from service import filter_cache, scope
from service.engine import Engine
from service.query import AttributeCap, PrefixCap, Query
from service.recommender import Recommender
from service.snapshot import Snapshot
from tests import filters
from tests.bundles import SPACE, SPACE_HASH, random_generator
from tests.naive_rules import Naive
from tests.snapshots import make_snapshot

TIE = 1e-5
CASES = settings(max_examples=500, deadline=None, derandomize=True)
SOME_CASES = settings(max_examples=100, deadline=None, derandomize=True)
WEIGHTS = [{"text": 1.0, "image": 1.0}, {"text": 1.0}, {"image": 0.5}, {"text": 2.0, "image": 0.5}]


@cache
def transformer() -> Transformer:
    torch.set_num_threads(1)
    return random_generator().search().transformer.eval()


@pytest.fixture(scope="module", params=[0, 9], ids=["plain", "captured"])
def engine(bundle: Path, request: pytest.FixtureRequest) -> Engine:
    return Engine(Bundle.load(bundle).generator, capture=request.param)


@pytest.fixture(scope="module")
def loaded(bundle: Path) -> Bundle:
    return Bundle.load(bundle)


@dataclass
class Case:
    """A catalog and a request to it."""

    catalog: LiveCatalog
    metadata: list[dict[str, Any]]
    trained: set[int]
    history: list[int]
    weights: dict[str, float]
    k: int
    beam: int
    exclude: list[int]
    exclude_seen: bool
    rule: dict[str, Any] | None
    allow: list[int] | None

    def allowed(self) -> set[int]:
        """The items that may come back."""
        gone = {*self.catalog.base.deleted.tolist(), *self.exclude, *(self.history if self.exclude_seen else [])}
        hidden = set(self.catalog.base.unavailable.tolist())
        return {
            item
            for item, metadata in enumerate(self.metadata)
            if item not in gone
            and (self.allow is None or item in self.allow)
            and (filters.allows(self.rule, metadata, item not in hidden) if self.rule else item not in hidden)
        }

    def query(self, **more: Any) -> Query:
        """The request."""
        return Query(
            history=tuple(map(name, self.history)),
            k=self.k,
            beam=self.beam,
            weights=self.weights,
            exclude=(*map(name, self.exclude), "never heard of"),
            exclude_seen=self.exclude_seen,
            filter=None if self.rule is None else Filter.model_validate(self.rule),
            allow=None if self.allow is None else tuple(map(name, [*self.allow, *self.allow[:1], -1])),
            **more,
        )

    def snapshot(self, bundle: Bundle, engine: Engine) -> Snapshot:
        """The catalog, ready to be searched."""
        trained = np.isin(np.arange(len(self.catalog)), list(self.trained))
        return make_snapshot(bundle, engine, self.catalog, trained)

    def naive(self) -> Naive:
        """The reference."""
        return Naive(self.catalog, transformer())

    @property
    def latest(self) -> list[int]:
        """What the generator reads."""
        return self.history[-5:]


def shelf(number: int) -> dict[str, Any]:
    """Metadata by which a filter lets some items pass: the number's digits say what the item is."""
    return {
        "category": [["red"], ["blue", "1"], []][number % 3],
        "price": [0, 1, 2.5, -1][number % 4],
        "attributes": {"color": ["red", "blue"][number % 2], "stock": number % 5 < 3},
    }


likely = st.sampled_from(
    [
        {"category": ["red", "blue"]},
        {"not": {"category": "red"}},
        {"attribute": "price", "min": 0},
        {"attribute": "price", "max": 1, "min": -1},
        {"attribute": "color", "equals": "red"},
        {"attribute": "stock", "in": [True, 1]},
        {"not": {"attribute": "price", "equals": 1}},
    ]
)
rules = st.one_of(
    st.none(),
    filters.filters,
    likely,
    st.builds(lambda *parts: {"all": list(parts)}, likely, likely),
    st.builds(lambda *parts: {"any": list(parts)}, likely, filters.filters),
    st.builds(lambda part: {"not": {"all": [part, {"available": True}]}}, likely),
)


def name(item: int) -> str:
    """Ids do not stand in item order."""
    return f"item {(item * 7) % 100:02d}"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Few leaves and many, shared ones, items that are gone, hidden or new, and every rule or none."""
    items = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    used = draw(st.tuples(*[st.integers(1, SPACE.codes)] * SPACE.levels))
    codes = rng.integers(SPACE.codes - np.array(used), SPACE.codes, (2, items, SPACE.levels)).astype(np.uint8)
    kinds = [*map(shelf, rng.integers(0, 60, 20).tolist()), *draw(st.lists(filters.metadata, max_size=4))]
    metadata = [kinds[kind] for kind in rng.integers(0, len(kinds), items).tolist()]
    shares = draw(st.sampled_from([(0.0, 0.0), (0.1, 0.3)]))
    deleted, hidden = (np.flatnonzero(rng.random(items) < share) for share in shares)
    built = Catalog.build(
        SPACE,
        codes,
        [(name(item), metadata[item]) for item in range(items)],
        rng.integers(0, 3, items),
        SPACE_HASH,
        deleted=deleted[: items - 1],
        unavailable=hidden,
    )
    one = st.integers(0, items - 1)
    standing = sorted(set(range(items)) - set(deleted[: items - 1].tolist()))
    return Case(
        catalog=LiveCatalog.of(built),
        metadata=metadata,
        trained=set(rng.permutation(standing)[: rng.integers(0, len(standing) + 1)].tolist()),
        history=draw(st.lists(one, min_size=1, max_size=7)),
        weights=draw(st.sampled_from(WEIGHTS)),
        k=draw(st.sampled_from([1, 2, 3, 4, 9])),
        beam=draw(st.sampled_from([1, 2, 3, 9])),
        exclude=rng.permutation(items)[: draw(st.sampled_from([0, 2, items // 2]))].tolist(),
        exclude_seen=draw(st.booleans()),
        rule=draw(rules),
        allow=rng.permutation(items)[: draw(st.integers(0, items))].tolist() if draw(st.booleans()) else None,
    )


@CASES
@given(case=cases())
def test_rules_find_what_a_search_of_the_allowed_items_finds(case: Case, loaded: Bundle, engine: Engine) -> None:
    naive, allowed = case.naive(), case.allowed()
    expected = naive.ranking(case.latest, allowed, case.weights, max(case.beam, case.k)) if allowed else []
    assume(naive.margin > TIE)
    answer = Recommender(max_beam=200).recommend(case.snapshot(loaded, engine), case.query())
    assert [item.item for item in answer.items] == expected[: case.k]
    assert answer.reachable == len(allowed)
    assert len(answer.items) == min(case.k, len(allowed))
    event(f"filter {case.rule is not None}, allow {case.allow is not None}, found {min(len(expected), 3)}")


@SOME_CASES
@given(
    case=cases(),
    max_per=st.dictionaries(st.sampled_from(["category", "price", "color"]), st.integers(1, 3), max_size=2),
    prefixes=st.dictionaries(
        st.sampled_from(["text", "image"]), st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=1
    ),
    one_by_one=st.sampled_from([0, 3, scope.MOST_EXCLUDED]),
    pass_share=st.sampled_from([0, filter_cache.PASS_SHARE, 1000]),
)
def test_caps_keep_the_stated_rule(
    case: Case,
    max_per: dict[str, int],
    prefixes: dict[str, tuple[int, int]],
    one_by_one: int,
    pass_share: int,
    loaded: Bundle,
    engine: Engine,
) -> None:
    naive = case.naive()
    beams = max(case.beam, case.k)
    expected = naive.capped(case.latest, case.allowed(), case.weights, case.k, beams, max_per, prefixes)
    assume(naive.margin > TIE)
    caps = (
        *(AttributeCap(attribute, most) for attribute, most in max_per.items()),
        *(PrefixCap(modality, depth, most) for modality, (depth, most) in prefixes.items()),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scope, "MOST_EXCLUDED", one_by_one)
        patch.setattr(filter_cache, "PASS_SHARE", pass_share)
        answer = Recommender(max_beam=200).recommend(case.snapshot(loaded, engine), case.query(caps=caps))
    assert [item.item for item in answer.items] == expected


@SOME_CASES
@given(
    case=cases(),
    blend_below=st.integers(0, 4),
    new=st.tuples(st.integers(0, 4), st.integers(0, 3)),
    most=st.none() | st.integers(1, 3),
    empty=st.booleans(),
)
def test_all_rules_together_give_k_different_allowed_items_or_all_there_are(
    case: Case, blend_below: int, new: tuple[int, int], most: int | None, empty: bool, loaded: Bundle, engine: Engine
) -> None:
    """Whatever is mixed into the ranking: popular items, new ones, or both, under every other rule at once."""
    case.history = [] if empty else case.history
    caps = () if most is None else (AttributeCap("color", most), PrefixCap("image", 1, most + 1))
    query = case.query(blend_below=blend_below, new_after=new[0], new_every=new[1], caps=caps)
    found = [item.item for item in Recommender(max_beam=200).recommend(case.snapshot(loaded, engine), query).items]
    counts, limits = Counter[Any](), dict[Any, int]()

    def groups(item: int) -> dict[Any, int]:
        limit = most or len(case.metadata)
        return case.naive().groups(item, {"color": limit}, {"image": (1, limit + 1)})

    for item in found:
        counts.update(groups(item).keys())
        limits |= groups(item)
    left = case.allowed() - set(found)
    assert set(found) <= case.allowed()
    assert len(found) == len(set(found)) <= case.k
    assert all(counts[group] <= limit for group, limit in limits.items())
    assert len(found) == case.k or all(
        any(counts[each] >= limit for each, limit in groups(item).items()) for item in left
    )


@SOME_CASES
@given(case=cases(), most=st.none() | st.integers(1, 2))
def test_without_a_history_the_most_popular_allowed_items_come(
    case: Case, most: int | None, loaded: Bundle, engine: Engine
) -> None:
    case.history = []
    naive, taken, counts = case.naive(), list[int](), Counter[Any]()
    for item in sorted(case.allowed(), key=case.catalog.rank):
        groups = [] if most is None else list(naive.groups(item, {"color": most}, {}))
        if len(taken) < case.k and all(counts[group] < (most or 0) for group in groups):
            taken.append(item)
            counts.update(groups)
    caps = () if most is None else (AttributeCap("color", most),)
    answer = Recommender(max_beam=200).recommend(case.snapshot(loaded, engine), case.query(caps=caps))
    assert [item.item for item in answer.items] == taken
    assert not answer.generated
