"""The recommender's answers are the exact search's: the torch model's beams, and a catalog without what is excluded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.bundle import Bundle
from model.catalog import Catalog
from model.cold_start import cold_edges
from model.fusion import FusionConfig, Rule
from model.generator_shape import GeneratorShape
from model.live_catalog import LiveCatalog
from service.engine import Engine
from service.query import Query, Recommendation
from service.recommender import Recommender
from service.search_rows import SearchRows
from service.snapshot import Snapshot
from tests.bundles import ITEMS, SPACE, build_catalog, item_id, random_generator, write_test_bundle
from tests.snapshots import make_snapshot as make_snapshot_of

BOTH = {"text": 1.0, "image": 1.0}
MakeSnapshot = Callable[[Catalog], Snapshot]


@pytest.fixture(scope="module")
def make_snapshot(bundle: Path) -> MakeSnapshot:
    loaded = Bundle.load(bundle)
    engine = Engine(loaded.generator)

    def make(catalog: Catalog) -> Snapshot:
        return make_snapshot_of(loaded, engine, LiveCatalog.of(catalog))

    return make


@pytest.fixture(scope="module")
def snapshot(make_snapshot: MakeSnapshot) -> Snapshot:
    return make_snapshot(build_catalog())


def recommend(snapshot: Snapshot, query: Query, rule: Rule = Rule.MEAN) -> Recommendation:
    return Recommender(max_beam=200).recommend(replace(snapshot, fusion=FusionConfig(rule=rule)), query)


def found(snapshot: Snapshot, query: Query, rule: Rule = Rule.MEAN) -> list[tuple[str, float]]:
    answer = recommend(snapshot, query, rule)
    return [(snapshot.catalog.item_id(item.item), round(item.score, 5)) for item in answer.items]


def test_a_generator_that_reads_whole_items_is_given_them(
    snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Both lists read the same history then, with the codes of all modalities; only the latest events count."""
    shape = GeneratorShape(position="item", causal=True, softmax="catalog", start="state")
    loaded = Bundle.load(write_test_bundle(tmp_path_factory.mktemp("items"), shape))
    engine = Engine(loaded.generator)
    everything = np.ones(ITEMS, dtype=np.bool_)
    trie = engine.prepare(snapshot.catalog.trie, everything)
    changed = replace(snapshot, bundle=loaded, engine=engine, trie=trie)
    history = list(range(2, 2 + engine.max_history + 3))
    codes = {modality: snapshot.catalog.codes(modality, np.array(history)) for modality in range(2)}
    tokens = np.concatenate([SPACE.tokens(modality, codes[modality]) for modality in range(2)], axis=1)
    generator, catalog = random_generator(shape).requires_grad_(False), snapshot.catalog
    for modality, name in enumerate(BOTH):
        query = Query(tuple(map(item_id, history)), k=10, beam=10, weights={name: 1.0}, exclude_seen=False)
        nodes, scores = generator.search()(
            torch.from_numpy(tokens[-engine.max_history :].reshape(1, -1)),
            torch.tensor([modality]),
            torch.from_numpy(catalog.trie.child_start),
            torch.from_numpy(catalog.trie.child_code),
            torch.ones(len(catalog.trie.child_code), dtype=torch.bool),
            torch.full((1, SPACE.levels, 1), -1, dtype=torch.int32),
            torch.zeros(10),
            torch.zeros(len(catalog.trie.child_code), dtype=torch.bool),
        )
        answer = recommend(changed, query)
        leaves = [int(catalog.trie.item_leaf[modality, item.item]) for item in answer.items]
        assert list(dict.fromkeys(leaves)) == (nodes[0] - catalog.trie.first_leaf).tolist()[: len(set(leaves))]
        best = answer.items[0].scores[name]
        assert best == pytest.approx(scores[0, 0].item(), abs=1e-4)


def without(excluded: set[str]) -> Catalog:
    """The catalog as if the excluded items had never been in it."""
    full = build_catalog()
    kept = [item for item in range(ITEMS) if item_id(item) not in excluded]
    items = [(item_id(item), full.metadata(item)) for item in kept]
    return Catalog.build(SPACE, full.codes[:, kept], items, full.popularity[kept], full.space_hash)


@pytest.mark.parametrize("beam", [1, 7, 50, 200])
def test_the_engine_finds_what_the_torch_search_finds(snapshot: Snapshot, beam: int) -> None:
    catalog, search = snapshot.catalog, random_generator().search()
    history = np.array([3, 9, 4])
    tokens = np.stack([SPACE.tokens(modality, catalog.codes(modality, history)).ravel() for modality in range(2)])
    dead = np.full((2, SPACE.levels, 1), -1, dtype=np.int32)
    rows = SearchRows(tokens, np.array([0, 1]), dead, beam)
    trained = np.arange(ITEMS) % 3 > 0
    trie = snapshot.engine.prepare(catalog.trie, trained)
    leaves, scores, *_ = snapshot.engine.search(trie, rows)
    nodes, expected = search(
        torch.from_numpy(tokens),
        torch.tensor([0, 1]),
        torch.from_numpy(catalog.trie.child_start),
        torch.from_numpy(catalog.trie.child_code),
        torch.ones(len(catalog.trie.child_code), dtype=torch.bool),
        torch.from_numpy(dead),
        torch.zeros(beam),
        torch.from_numpy(cold_edges(catalog.trie, trained)),
    )
    np.testing.assert_array_equal(leaves, np.where(nodes >= 0, nodes - catalog.trie.first_leaf, -1))
    np.testing.assert_allclose(scores, expected.detach().numpy(), atol=1e-5)


def test_a_list_is_the_leaves_items_in_the_order_of_their_scores(snapshot: Snapshot) -> None:
    answer = recommend(snapshot, Query((item_id(3),), k=ITEMS, beam=ITEMS, weights={"text": 1.0}, exclude_seen=False))
    trie = snapshot.catalog.trie
    assert sorted(item.item for item in answer.items) == list(range(ITEMS))
    assert [item.ranks["text"] for item in answer.items] == list(range(1, ITEMS + 1))
    place = {item.item: place for place, item in enumerate(answer.items)}
    assert place[1] == place[0] + 1, "items on one leaf stand together, the more popular first"
    assert trie.item_leaf[0, 0] == trie.item_leaf[0, 1]


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=8),
    excluded=st.sets(st.integers(0, ITEMS - 1), max_size=ITEMS - 8),
    k=st.integers(1, 30),
    beam=st.integers(1, 30),
    weights=st.sampled_from([BOTH, {"text": 1.0}, {"image": 0.5}, {"text": 2.0, "image": 0.5}]),
    rule=st.sampled_from(list(Rule)),
)
def test_excluding_items_is_the_same_as_a_catalog_without_them(
    make_snapshot: MakeSnapshot,
    snapshot: Snapshot,
    history: list[int],
    excluded: set[int],
    k: int,
    beam: int,
    weights: dict[str, float],
    rule: Rule,
) -> None:
    names = {item_id(item) for item in excluded - set(history)}
    ids = tuple(item_id(item) for item in history)
    filtered = found(snapshot, Query(ids, k, beam, weights, tuple(names), exclude_seen=False), rule)
    expected = found(make_snapshot(without(names)), Query(ids, k, beam, weights, exclude_seen=False), rule)
    assert filtered == expected


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=ITEMS),
    excluded=st.sets(st.integers(0, ITEMS - 1), max_size=ITEMS),
    k=st.integers(1, ITEMS),
    beam=st.integers(1, 5),
)
def test_k_allowed_items_come_back_whenever_k_exist(
    snapshot: Snapshot, history: list[int], excluded: set[int], k: int, beam: int
) -> None:
    query = Query(tuple(map(item_id, history)), k, beam, BOTH, tuple(map(item_id, excluded)))
    items = [item.item for item in recommend(snapshot, query).items]
    allowed = set(range(ITEMS)) - excluded - set(history)
    assert set(items) <= allowed
    assert len(items) == len(set(items)) == min(k, len(allowed))


def test_the_beam_never_exceeds_the_cap(snapshot: Snapshot) -> None:
    query = Query((item_id(3),), k=50, beam=50, weights={"text": 1.0})
    assert len(Recommender(max_beam=5).recommend(snapshot, query).items) <= 6
