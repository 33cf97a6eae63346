"""The eight-bit search graph: the same contract, near scores, and nothing that does not exist."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from model.bundle import Bundle
from model.generator_shape import GeneratorShape
from model.onnx_metadata import read_metadata
from service.engine import Engine
from service.search_rows import Leaves, SearchRows
from tests.bundles import build_catalog, write_int8_bundle, write_test_bundle

SHAPES = {
    "published": GeneratorShape(),
    "causal": GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True),
}


@pytest.fixture(scope="module", params=SHAPES)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp(request.param)
    exact = write_test_bundle(folder / "exact", SHAPES[request.param])
    return Bundle.load(write_int8_bundle(exact, folder / "int8"))


def found(path: Path, dead: NDArray[np.int32], beam: int = 200) -> Leaves:
    """All leaves of both lists for one history; the beam is wider than there are."""
    engine, catalog = Engine(path), build_catalog()
    codes = catalog.codes[:, [3, 1, 4]].astype(np.int64)
    offsets = np.array([[engine.space.token_offset(m, level) for level in range(3)] for m in range(2)])
    tokens = codes + offsets[:, np.newaxis]
    by_item = engine.position == "item"
    rows = tokens.transpose(1, 0, 2).reshape(1, -1) if by_item else tokens.reshape(2, -1)
    trie = engine.prepare(catalog.trie, np.ones(len(catalog), dtype=np.bool_))
    history = np.zeros(2, dtype=np.int64) if by_item else np.arange(2)
    return engine.search(trie, SearchRows(rows, np.arange(2), dead, beam, history))


def test_it_keeps_the_contract_of_the_exact_one(bundle: Bundle) -> None:
    exact, fast = (onnx.load(str(bundle.search_graph(precision))).graph for precision in ("float32", "int8"))
    assert [each.name for each in fast.input] == [each.name for each in exact.input]
    assert [each.name for each in fast.output] == [each.name for each in exact.output]
    assert read_metadata(bundle.search_graph("int8")) == read_metadata(bundle.generator)


def test_products_with_weights_are_in_eight_bits(bundle: Bundle) -> None:
    nodes = [node.op_type for node in onnx.load(str(bundle.search_graph("int8"))).graph.node]
    exact = [node.op_type for node in onnx.load(str(bundle.generator)).graph.node]
    assert nodes.count("MatMulInteger") > nodes.count("MatMul")
    assert nodes.count("MatMulInteger") + nodes.count("MatMul") <= exact.count("MatMul") + exact.count("Gemm")


def test_the_scores_of_all_tokens_are_exact_products(bundle: Bundle) -> None:
    """Where there are any: a softmax over the catalog reads scores of children, which were chosen from others."""
    nodes = onnx.load(str(bundle.search_graph("int8"))).graph.node
    read = [node.input[0] for node in nodes if node.op_type == "LogSoftmax"]
    made = {node.op_type for node in nodes if node.output[0] in read}
    assert made == ({"MatMul"} if "published" in bundle.folder.parent.name else {"Where"})


def test_scores_are_near_those_of_the_exact_one(bundle: Bundle) -> None:
    free = np.full((2, 3, 1), -1, dtype=np.int32)
    exact, fast = (found(bundle.search_graph(precision), free) for precision in ("float32", "int8"))
    for row in range(2):
        there = exact.leaves[row] >= 0
        assert set(fast.leaves[row][fast.leaves[row] >= 0]) == set(exact.leaves[row][there])
        scores = dict(zip(fast.leaves[row].tolist(), fast.scores[row].tolist(), strict=True))
        others = np.array([scores[leaf] for leaf in exact.leaves[row][there].tolist()])
        spread = np.ptp(exact.scores[row][there])
        assert 0 < np.abs(others - exact.scores[row][there]).max() < 0.1 * spread
    if exact.affinities is not None:
        assert fast.affinities is not None
        assert np.abs(fast.affinities - exact.affinities).max() < 0.1 * np.ptp(exact.affinities)


def test_what_a_request_forbids_is_not_found(bundle: Bundle) -> None:
    trie = build_catalog().trie
    dead = np.full((2, 3, 1), -1, dtype=np.int32)
    free = found(bundle.search_graph("int8"), dead)
    dead[:, 2, 0] = free.leaves[:, 0] + trie.first_leaf - 1
    bound = found(bundle.search_graph("int8"), dead)
    for row in range(2):
        assert free.leaves[row, 0] not in bound.leaves[row]
