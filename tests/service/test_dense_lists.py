"""The service joins dense scores with the modalities' lists as the offline evaluation does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.bundle import Bundle
from model.fusion import FusionConfig, ScoredItems
from model.generator_shape import GeneratorShape
from model.list_names import DENSE
from model.live_catalog import LiveCatalog
from service.engine import Engine
from service.query import Query
from service.recommender import Recommender
from tests.bundles import ITEMS, SPACE, build_catalog, item_id, random_generator, write_test_bundle
from tests.serving import Start
from tests.snapshots import make_snapshot
from training.retrieval import Retriever
from training.split import Histories
from training.validation import Searched, fuse_all

SHAPE = GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True)


@pytest.fixture(scope="module")
def dense_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("dense") / "bundle", SHAPE)


@pytest.mark.parametrize("weight", [0.0, 0.5, 8.0])
def test_answers_are_those_of_the_offline_fusion(dense_bundle: Path, weight: float) -> None:
    loaded = Bundle.load(dense_bundle)
    snapshot = make_snapshot(loaded, Engine(loaded.generator), LiveCatalog.of(build_catalog()))
    catalog, history = snapshot.catalog, [3, 1, 4]
    codes = np.stack([catalog.codes(modality, np.arange(ITEMS)) for modality in range(2)])
    retriever = Retriever(random_generator(SHAPE).search(), SPACE, codes, catalog.trie, torch.device("cpu"))
    histories = Histories(np.array([history], dtype=np.int32), np.array([3]))
    lists = [retriever.lists(histories, modality, 10, None) for modality in range(2)]
    scored = [[ScoredItems(*retriever.items_of(one.leaves[0], one.scores[0]))] for one in lists]
    weights = {"text": 1.0, "image": 2.0, DENSE: weight}
    searched = Searched(scored, retriever.affinities(histories))
    expected = fuse_all(retriever, searched, FusionConfig(weights=weights))[0]
    query = Query(
        tuple(map(item_id, history)),
        k=10,
        beam=10,
        weights={"text": 1.0, "image": 2.0},
        dense=weight,
        exclude_seen=False,
    )
    answer = Recommender(max_beam=200).recommend(snapshot, query).items
    assert [each.item for each in answer] == expected[:10].tolist()
    assert all((DENSE in each.ranks) == bool(weight) for each in answer)


def test_a_request_weighs_dense_scores_like_any_list(start: Start, dense_bundle: Path) -> None:
    client = start(bundle=dense_bundle)

    def ask(weights: dict[str, float]) -> list[dict[str, object]]:
        body = {"history": [item_id(3), item_id(1), item_id(4)], "weights": weights, "explain": True}
        answer = client.post("/recommend", json=body)
        assert answer.is_success, answer.text
        items: list[dict[str, object]] = answer.json()["items"]
        return items

    without, much = ask({DENSE: 0.0}), ask({DENSE: 1000.0})
    assert [each["id"] for each in without] != [each["id"] for each in much]
    assert DENSE in json.dumps(much)
    assert DENSE not in json.dumps(without)


def test_dense_scores_alone_find_nothing(start: Start, dense_bundle: Path) -> None:
    body = {"history": [item_id(3)], "weights": {"text": 0, "image": 0, DENSE: 1}}
    answer = start(bundle=dense_bundle).post("/recommend", json=body)
    assert answer.status_code == 422
    assert "no modality is left to search" in answer.text


def test_a_generator_without_them_knows_no_such_list(start: Start) -> None:
    answer = start().post("/recommend", json={"history": [item_id(3)], "weights": {DENSE: 1}})
    assert answer.status_code == 422
    assert "no such list; this catalog has ['text', 'image']" in answer.text
