"""A service that knows the beginning of a history recommends what one recommends that encodes it anew."""

from pathlib import Path

import numpy as np
import pytest

from model.bundle import Bundle
from model.generator_shape import GeneratorShape
from model.history_tokens import history_tokens
from model.live_catalog import LiveCatalog
from service.engine import Engine
from service.query import Query, Recommendation
from service.recommender import Recommender
from service.search_rows import SearchRows
from service.snapshot import Snapshot
from tests.bundles import ITEMS, SPACE, build_catalog, item_id, write_test_bundle
from tests.serving import Start
from tests.snapshots import make_snapshot

BOTH = {"text": 1.0, "image": 1.0}
CAUSAL = GeneratorShape(position="item", causal=True, softmax="catalog", start="state")
ROOM = 1 << 20


@pytest.fixture(scope="module")
def causal_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("causal") / "bundle", CAUSAL)


def snapshot_of(folder: Path, state_bytes: int) -> Snapshot:
    loaded = Bundle.load(folder)
    engine = Engine(loaded.generator, state_bytes=state_bytes)
    return make_snapshot(loaded, engine, LiveCatalog.of(build_catalog()))


def recommend(snapshot: Snapshot, history: list[int]) -> Recommendation:
    query = Query(tuple(map(item_id, history)), k=10, beam=10, weights=BOTH)
    return Recommender(max_beam=200).recommend(snapshot, query)


def test_answers_are_the_same_as_histories_grow(causal_bundle: Path) -> None:
    """Histories of several users, in turn, beyond the longest that the generator reads."""
    keeping, forgetting = snapshot_of(causal_bundle, ROOM), snapshot_of(causal_bundle, 0)
    users = np.random.default_rng(0).permutation(ITEMS)[:24].reshape(3, 8)
    known = []
    for length in range(1, users.shape[1] + 1):
        for events in users[:, :length].tolist():
            kept, anew = recommend(keeping, events), recommend(forgetting, events)
            assert [each.item for each in kept.items] == [each.item for each in anew.items]
            scores = [each.score for each in kept.items]
            np.testing.assert_allclose(scores, [each.score for each in anew.items], rtol=1e-4)
            assert anew.states_known is None
            known.append(kept.states_known)
    # A single item is not worth keeping, and nothing is found once a user's first item fell out of the window.
    reached = keeping.engine.max_history
    expected = [None if length < 3 else length <= reached for length in range(1, users.shape[1] + 1)]
    assert known == [each for each in expected for _ in users]


def test_the_same_request_again_encodes_its_last_item_alone(causal_bundle: Path) -> None:
    snapshot = snapshot_of(causal_bundle, ROOM)
    first, again = recommend(snapshot, [3, 1, 4]), recommend(snapshot, [3, 1, 4])
    assert (first.states_known, again.states_known) == (False, True)
    assert [each.item for each in first.items] == [each.item for each in again.items]


def test_several_histories_of_one_run_are_found_as_each_alone(causal_bundle: Path) -> None:
    snapshot = snapshot_of(causal_bundle, ROOM)
    catalog, engine = snapshot.catalog, snapshot.engine
    histories = [[3, 1, 4, 9], [5, 2]]
    rows = []
    for history in histories:
        codes = {modality: catalog.codes(modality, np.array(history)) for modality in range(2)}
        rows.append(history_tokens(SPACE, "item", 0, codes).ravel())
    padded = np.zeros((2, len(rows[0])), dtype=np.int64)
    for row, tokens in enumerate(rows):
        padded[row, : len(tokens)] = tokens
    dead = np.full((2, SPACE.levels, 1), -1, dtype=np.int32)
    together = engine.search(snapshot.trie, SearchRows(padded, np.array([0, 1]), dead, 10))
    for row, tokens in enumerate(rows):
        alone = engine.search(snapshot.trie, SearchRows(tokens[None], np.array([row]), dead[:1], 10))
        np.testing.assert_array_equal(together.leaves[row], alone.leaves[0])
        np.testing.assert_allclose(together.scores[row], alone.scores[0], atol=1e-5)


def test_a_generator_that_cannot_go_on_says_nothing_of_states(bundle: Path) -> None:
    assert recommend(snapshot_of(bundle, ROOM), [3, 1, 4]).states_known is None


def test_the_metrics_count_states_that_were_known(start: Start, causal_bundle: Path) -> None:
    client = start(bundle=causal_bundle)
    for _ in range(3):
        assert client.post("/recommend", json={"history": [item_id(3), item_id(1), item_id(4)]}).is_success
    shown = client.get("/metrics").text
    assert 'macrec_history_states_total{result="hit"} 2.0' in shown
    assert 'macrec_history_states_total{result="miss"} 1.0' in shown
    kept = next(line for line in shown.splitlines() if line.startswith("macrec_history_state_bytes "))
    assert float(kept.split()[1]) > 0
