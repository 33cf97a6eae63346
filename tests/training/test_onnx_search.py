"""The exported search is the torch search, on catalogs, histories, exclusions and beams that the exporter never saw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.beam_search import ConstrainedBeamSearch
from model.cold_start import cold_edges
from model.errors import BundleError
from model.exclusions import dead_edges, pack_dead_edges
from model.generator import Generator, GeneratorConfig
from model.generator_shape import GeneratorShape
from model.onnx_metadata import read_metadata
from model.semantic_ids import PAD, IdSpace
from model.transformer import Transformer
from model.transformer_config import TransformerSizes
from model.trie import build_trie
from training.onnx_search import Difference, Found, check_search, compare, export_search, open_graph

SPACE = IdSpace(("text", "image"), levels=3, codes=9)
SIZES = TransformerSizes(d_model=16, d_ff=24, heads=2, d_head=8, encoder_layers=1, decoder_layers=2)
METADATA = {"space_hash": "abc", "title": "Über — 二", "empty": ""}
EXAMPLE = {"rows": 2, "items": 40, "history": 4, "beams": 5, "excluded": 6}
OTHERS = {
    "one of everything": {"rows": 1, "items": 1, "history": 1, "beams": 1, "excluded": 0},
    "one beam": {"rows": 4, "items": 50, "history": 3, "beams": 1, "excluded": 3},
    "many beams": {"rows": 2, "items": 500, "history": 2, "beams": 50, "excluded": 0},
    "more beams than leaves": {"rows": 3, "items": 7, "history": 5, "beams": 20, "excluded": 0},
    "more beams than children of a node": {"rows": 1, "items": 30, "history": 5, "beams": 11, "excluded": 0},
    "several lists of a history": {"rows": 3, "items": 70, "history": 4, "beams": 8, "excluded": 2, "lists": 2},
    "many rows": {"rows": 17, "items": 90, "history": 6, "beams": 4, "excluded": 10},
    "a history beyond the maximum distance": {"rows": 2, "items": 60, "history": 60, "beams": 6, "excluded": 5},
    "most items excluded": {"rows": 3, "items": 80, "history": 3, "beams": 8, "excluded": 75},
    "all items excluded": {"rows": 2, "items": 10, "history": 3, "beams": 4, "excluded": 10},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random_search(seed: int) -> ConstrainedBeamSearch:
    torch.manual_seed(seed)
    return Generator(GeneratorConfig(space=SPACE, prompted_tasks=1, sizes=SIZES)).search().eval()


def case(
    rows: int, items: int, history: int, beams: int, excluded: int, seed: int = 0, lists: int = 1
) -> tuple[Tensor, ...]:
    """Inputs with a random catalog; ``history`` is the longest history in items, ``excluded`` items per list."""
    random = np.random.default_rng(seed)
    trie = build_trie(random.integers(0, SPACE.codes, (2, items, SPACE.levels)).astype(np.uint8))
    tokens = random.integers(1, SPACE.first_prompt_token, (rows, history * SPACE.levels))
    for row in range(1, rows):
        tokens[row, random.integers(1, tokens.shape[1] + 1) :] = PAD
    modality = random.integers(0, 2, rows * lists)
    dead = [dead_edges(trie, wanted, random.choice(items, excluded, replace=False)) for wanted in modality]
    allowed = np.ones(len(trie.child_code), dtype=np.bool_)
    arrays = tokens, modality, trie.child_start, trie.child_code, allowed, pack_dead_edges(dead)
    cold = torch.from_numpy(cold_edges(trie, random.random(items) < 0.7))
    beam, read = torch.zeros(beams, dtype=torch.int64), torch.arange(rows).repeat(lists)
    return (*(torch.from_numpy(array) for array in arrays), beam, cold, read)


@pytest.fixture(scope="module")
def search() -> ConstrainedBeamSearch:
    return random_search(0)


@pytest.fixture(scope="module")
def graph(search: ConstrainedBeamSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "generator.onnx"
    export_search(search, case(**EXAMPLE), path, METADATA)
    return path


@pytest.mark.parametrize("name", OTHERS)
def test_the_graph_takes_what_the_example_was_not(search: ConstrainedBeamSearch, graph: Path, name: str) -> None:
    difference = check_search(search, graph, [case(**OTHERS[name], seed=1)])
    assert difference.score < 1e-4
    assert difference.misplaced == 0


@pytest.fixture(scope="module")
def item_search() -> ConstrainedBeamSearch:
    """A generator of the other shape in all respects."""
    torch.manual_seed(0)
    shape = GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True)
    return Generator(GeneratorConfig(space=SPACE, prompted_tasks=1, sizes=SIZES, shape=shape)).search().eval()


@pytest.fixture(scope="module")
def item_graph(item_search: ConstrainedBeamSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("items") / "generator.onnx"
    export_search(item_search, case(**EXAMPLE), path, METADATA)
    return path


def test_the_graph_of_a_causal_generator_takes_what_the_example_was_not(
    item_search: ConstrainedBeamSearch, item_graph: Path
) -> None:
    """An item has its codes of both modalities there, so that a history has twice the tokens."""
    cases = [case(**(sizes | {"history": 2 * sizes["history"]}), seed=1) for sizes in OTHERS.values()]
    difference = check_search(item_search, item_graph, cases)
    assert difference.score < 1e-4
    assert difference.misplaced == 0
    with torch.no_grad():
        without = [item_search(*each[:-1], torch.zeros_like(each[-1]))[1] for each in cases]
        changed = [not torch.equal(item_search(*each)[1], old) for each, old in zip(cases, without, strict=True)]
    assert any(changed), "which items are new must matter, or the graph could ignore it"


def test_only_a_generator_that_scores_whole_items_answers_affinities(
    item_search: ConstrainedBeamSearch, item_graph: Path, tmp_path: Path
) -> None:
    sparse = item_search.shape.model_copy(update={"dense": False})
    without = ConstrainedBeamSearch(item_search.transformer, item_search.space, sparse).eval()
    export_search(without, case(**EXAMPLE), tmp_path / "generator.onnx", METADATA)
    for path, answers in ((item_graph, ["states", "affinities"]), (tmp_path / "generator.onnx", ["states"])):
        assert [each.name for each in open_graph(path).get_outputs()][2:] == answers


def test_a_graph_that_forgets_what_was_encoded_before_is_refused(
    item_search: ConstrainedBeamSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = tmp_path / "generator.onnx", Transformer.encode_on

    def forgetful(transformer: Transformer, tokens: Tensor, present: Tensor, past: Tensor) -> Tensor:
        return whole(transformer, tokens, present, torch.zeros_like(past))

    with monkeypatch.context() as patch:
        patch.setattr(Transformer, "encode_on", forgetful)
        export_search(item_search, case(**EXAMPLE), path, METADATA)
    with pytest.raises(BundleError, match="is not the model that it was exported from"):
        check_search(item_search, path, [case(rows=1, items=70, history=8, beams=8, excluded=2)])


def test_the_graph_obeys_the_shared_filter(search: ConstrainedBeamSearch, graph: Path) -> None:
    tokens, modality, start, code, allowed, *others = case(**EXAMPLE)
    filtered = allowed.clone()
    filtered[2:18] = torch.arange(16) % 2 == 0
    with torch.no_grad():
        free, bound = (search(tokens, modality, start, code, either, *others)[0] for either in (allowed, filtered))
    assert not torch.equal(free, bound), "the filter must matter, or the graph could ignore it"
    check_search(search, graph, [(tokens, modality, start, code, filtered, *others)])


def test_exclusions_matter_on_the_example(search: ConstrainedBeamSearch) -> None:
    with torch.no_grad():
        free, bound = (search(*case(**{**EXAMPLE, "excluded": count}))[0] for count in (0, 30))
    assert not torch.equal(free, bound)


def test_equals_on_both_sides_of_a_cut_may_replace_each_other() -> None:
    """Node 9 lost its place at an earlier level by rounding alone: it is no error only if its score is that of 5."""
    nodes, scores = np.array([[4, 5, 6]]), np.array([[-1.0, -2.0, -3.0]], dtype=np.float32)
    other = np.array([[4, 9, 6]])
    assert compare(nodes, scores, other, scores).misplaced == 1
    for score, misplaced in ((-2.0, 0), (-2.1, 1)):
        wider = Found(np.array([[4, 5, 9, 6]]), np.array([[-1.0, -2.0, score, -3.0]], dtype=np.float32))
        assert compare(nodes, scores, other, scores, wider).misplaced == misplaced


def test_every_case_counts_towards_the_difference(search: ConstrainedBeamSearch, graph: Path) -> None:
    several = [case(**EXAMPLE, seed=seed) for seed in range(3)]
    alone = [check_search(search, graph, [one]).score for one in several]
    assert check_search(search, graph, several).score == max(alone)


def test_the_metadata_can_be_read_without_onnx(graph: Path) -> None:
    assert read_metadata(graph) == METADATA


def test_a_graph_of_other_weights_is_refused(graph: Path) -> None:
    with pytest.raises(BundleError, match=r"generator\.onnx is not the model that it was exported from"):
        check_search(random_search(1), graph, [case(**EXAMPLE)])


def rows(*values: list[float]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def nodes(*values: list[int]) -> NDArray[np.int64]:
    return np.array(values)


INF = float("inf")


@pytest.mark.parametrize(
    ("ours", "theirs", "misplaced"),
    [
        pytest.param(([4, 5, 6], [-1, -2, -3]), ([4, 5, 6], [-1, -2, -3]), 0, id="the same"),
        pytest.param(([4, 5, 6], [-1, -2, -3]), ([5, 4, 6], [-1, -2, -3]), 2, id="swapped without a tie"),
        pytest.param(([4, 5, 6], [-1, -1.000001, -3]), ([5, 4, 6], [-1, -1, -3]), 0, id="swapped in a tie"),
        pytest.param(([4, 5, 6], [-1, -1.00002, -3]), ([5, 4, 6], [-1, -1, -3]), 2, id="swapped, nearly a tie"),
        pytest.param(([4, 5, 6], [-1, -2, -2]), ([4, 5, 9], [-1, -2, -2]), 0, id="another of the last beams' equals"),
        pytest.param(([4, 5, 6], [-1, -1, -2]), ([4, 9, 6], [-1, -1, -2]), 1, id="a stranger in an earlier tie"),
        pytest.param(([4, 5, 6], [-1, -2, -3]), ([9, 5, 6], [-1, -2, -3]), 1, id="a stranger"),
        pytest.param(([4, 5, 6], [-1, -1, -3]), ([4, 4, 6], [-1, -1, -3]), 1, id="the same beam twice in a tie"),
        pytest.param(([4, 5, -1], [-1, -2, -INF]), ([4, 5, -1], [-1, -2, -INF]), 0, id="both lack the last"),
        pytest.param(([4, 5, -1], [-1, -2, -INF]), ([5, 4, -1], [-1, -2, -INF]), 2, id="swapped before the lacking"),
        pytest.param(([-1, -1], [-INF, -INF]), ([-1, -1], [-INF, -INF]), 0, id="nothing found"),
    ],
)
def test_beams_may_change_places_with_their_equals_only(
    ours: tuple[list[int], list[float]], theirs: tuple[list[int], list[float]], misplaced: int
) -> None:
    found = compare(nodes(ours[0]), rows(ours[1]), nodes(theirs[0]), rows(theirs[1]))
    assert found.misplaced == misplaced
    assert found.score < 1e-4


def test_a_beam_that_only_one_of_them_found_is_no_small_difference() -> None:
    found = compare(nodes([4, 5]), rows([-1, -2]), nodes([4, -1]), rows([-1, -INF]))
    assert found == Difference(INF, 1)
    found = compare(nodes([4, -1]), rows([-1, -INF]), nodes([4, 5]), rows([-1, -2]))
    assert found == Difference(INF, 1)


def test_scores_that_are_no_numbers_are_a_difference() -> None:
    for ours, theirs in (([-1.0, np.nan], [-1.0, -2.0]), ([-1.0, -2.0], [-1.0, np.nan])):
        assert compare(nodes([4, 5]), rows(ours), nodes([4, 5]), rows(theirs)).score == INF


def test_the_largest_difference_of_scores_of_any_row_counts() -> None:
    ours, theirs = rows([-1, -2], [-1, -2]), rows([-1, -2.25], [-1.5, -2])
    assert compare(nodes([4, 5], [4, 5]), ours, nodes([4, 5], [4, 5]), theirs) == Difference(0.5, 0)


def test_a_model_that_answers_not_a_number_equals_nothing() -> None:
    nodes, scores = np.array([[3]]), np.array([[np.nan]], dtype=np.float32)
    assert compare(nodes, scores, nodes, scores).score == np.inf
