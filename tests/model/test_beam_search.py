"""The search is exact: a naive beam search over the allowed items alone, and Hugging Face's, find the same."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from model.beam_search import ConstrainedBeamSearch
from model.cold_start import cold_edges
from model.exclusions import dead_edges, pack_dead_edges
from model.generator import Generator, GeneratorConfig
from model.generator_shape import GeneratorShape
from model.history_tokens import tokens_per_item
from model.semantic_ids import PAD, IdSpace
from model.transformer_config import TransformerSizes
from model.trie import Trie, build_trie
from tests.hugging_face import as_t5
from tests.naive_search import Codes, Cold, naive_search

TIE = 1e-5
TOLERANCE = 1e-4
MODALITIES = ("text", "image")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


SIZES = TransformerSizes(d_model=12, d_ff=16, heads=2, d_head=6, encoder_layers=1, decoder_layers=2)
T5 = GeneratorShape()
SHAPES = [
    T5,
    GeneratorShape(softmax="catalog"),
    GeneratorShape(position="item", causal=True, softmax="catalog"),
    GeneratorShape(position="item", causal=True, softmax="catalog", start="state"),
]


@cache
def search_of(space: IdSpace, shape: GeneratorShape = T5) -> ConstrainedBeamSearch:
    """A tiny search with random weights whose next codes depend on the history and on the codes before."""
    torch.manual_seed(0)
    return Generator(GeneratorConfig(space=space, prompted_tasks=1, sizes=SIZES, shape=shape)).search().eval()


@dataclass
class Case:
    """A catalog ``(m, N, L)`` and the requests to it: per row a history, a modality and the items that it excludes.

    Items of which ``trained`` ``(N,)`` is False came after training. With ``narrow`` no more children of a node are
    looked at than any has.
    """

    space: IdSpace
    codes: NDArray[np.uint8]
    histories: list[list[int]]
    modality: list[int]
    excluded: list[list[int]]
    beams: int
    trained: NDArray[np.bool_]
    shape: GeneratorShape = T5
    narrow: bool = False

    @property
    def items(self) -> int:
        return int(self.codes.shape[1])

    def ids(self, row: int, removed: set[int]) -> set[Codes]:
        """The IDs that an item which is not removed has."""
        kept = [item for item in range(self.items) if item not in removed]
        return {tuple(self.codes[self.modality[row], item].tolist()) for item in kept}

    def cold(self, row: int) -> Cold:
        """What a naive search must know of items that were not trained."""
        trained = self.codes[self.modality[row], self.trained].tolist()
        return Cold({tuple(codes) for codes in trained}, self.shape.softmax)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Catalogs from one item to many, wide and narrow at every level, with shared codes; generators of all shapes."""
    shape = draw(st.sampled_from(SHAPES))
    modalities, levels, codes = draw(st.integers(1, 2)), draw(st.integers(1, 4)), draw(st.integers(1, 8))
    space = IdSpace(MODALITIES[:modalities], levels, codes)
    items, rows = draw(st.integers(1, 30)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    used = np.array([draw(st.integers(1, codes)) for _ in range(levels)])
    token = st.integers(1, space.vocabulary(prompted_tasks=1) - 1)
    each = tokens_per_item(space, "item") if shape.position == "item" else 1
    sizes = [each * draw(st.integers(1, 8 if each == 1 else 3)) for _ in range(rows)]
    return Case(
        space=space,
        codes=random.integers(codes - used, codes, (modalities, items, levels)).astype(np.uint8),
        histories=[draw(st.lists(token, min_size=size, max_size=size)) for size in sizes],
        modality=[draw(st.integers(0, modalities - 1)) for _ in range(rows)],
        excluded=[draw(st.lists(st.integers(0, items - 1), max_size=items)) for _ in range(rows)],
        beams=draw(st.integers(1, 12)),
        trained=random.random(items) < draw(st.sampled_from([0.0, 0.5, 0.9, 1.0])),
        shape=shape,
        narrow=draw(st.booleans()),
    )


def inputs(case: Case, trie: Trie, edge_allowed: NDArray[np.bool_] | None = None) -> tuple[Tensor, ...]:
    """The search's inputs; a row's exclusions are dead edges."""
    tokens = np.full((len(case.histories), max(map(len, case.histories))), PAD, dtype=np.int64)
    for row, history in enumerate(case.histories):
        tokens[row, : len(history)] = history
    requests = zip(case.modality, case.excluded, strict=True)
    dead = [dead_edges(trie, modality, np.array(items, dtype=np.int64)) for modality, items in requests]
    allowed = np.ones(len(trie.child_code), dtype=np.bool_) if edge_allowed is None else edge_allowed
    arrays = tokens, np.array(case.modality), trie.child_start, trie.child_code, allowed, pack_dead_edges(dead)
    cold = torch.from_numpy(cold_edges(trie, case.trained))
    return (*(torch.from_numpy(array) for array in arrays), torch.zeros(case.beams), cold)


def leaf_codes(trie: Trie) -> dict[int, tuple[int, Codes]]:
    """Modality and codes of every leaf node, by walking down from the super-root."""
    paths: dict[int, Codes] = {0: ()}
    for node in range(trie.first_leaf):
        for edge in range(trie.child_start[node], trie.child_start[node + 1]):
            paths[edge + 1] = (*paths[node], int(trie.child_code[edge]))
    return {node: (path[0], path[1:]) for node, path in paths.items() if len(path) == trie.levels + 1}


def allowed_edges(trie: Trie, removed: set[int]) -> NDArray[np.bool_]:
    """False at edges below which every item is removed."""
    allowed = np.zeros(len(trie.child_code) + 1, dtype=np.bool_)
    for leaf in range(trie.leaves):
        allowed[trie.first_leaf + leaf] = not removed.issuperset(trie.leaf_items(leaf).tolist())
    for node in reversed(range(trie.first_leaf)):
        allowed[node] = allowed[trie.child_start[node] + 1 : trie.child_start[node + 1] + 1].any()
    return allowed[1:]


def assert_equals_naive(case: Case, removed: list[set[int]], arguments: tuple[Tensor, ...], trie: Trie) -> None:
    """Order, scores and padding of every row are those of a naive search that never heard of the removed items."""
    search, leaves = search_of(case.space, case.shape), leaf_codes(trie)
    slots = [torch.arange(most) for most in trie.fan_outs] if case.narrow else None
    with torch.no_grad():
        nodes, scores = (output.tolist() for output in search(*arguments, slots=slots))
        for row, history in enumerate(case.histories):
            ids, modality = case.ids(row, removed[row]), case.modality[row]
            naive = naive_search(search.transformer, case.space, modality, history, ids, case.beams, case.cold(row))
            assume(naive.margin > TIE)
            found = len(naive.ids)
            assert [leaves[node] for node in nodes[row][:found]] == [(modality, codes) for codes in naive.ids]
            assert scores[row][:found] == pytest.approx(naive.scores, abs=TOLERANCE)
            assert nodes[row][found:] == [-1] * (case.beams - found)
            assert scores[row][found:] == [-np.inf] * (case.beams - found)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(case=cases())
def test_excluded_items_might_as_well_not_exist(case: Case) -> None:
    trie = build_trie(case.codes)
    assert_equals_naive(case, [set(items) for items in case.excluded], inputs(case, trie), trie)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(case=cases())
def test_filtered_items_might_as_well_not_exist(case: Case) -> None:
    """The filter is shared: the first row's exclusions hold for all rows."""
    trie, removed = build_trie(case.codes), set(case.excluded[0])
    case.excluded = [[] for _ in case.excluded]
    arguments = inputs(case, trie, allowed_edges(trie, removed))
    assert_equals_naive(case, [removed] * len(case.histories), arguments, trie)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases())
def test_a_beam_as_wide_as_the_level_finds_every_reachable_item(case: Case) -> None:
    """None is lost behind forbidden ones, and no leaf comes twice."""
    trie, leaves = build_trie(case.codes), leaf_codes(build_trie(case.codes))
    case.beams = case.items
    with torch.no_grad():
        nodes = search_of(case.space, case.shape)(*inputs(case, trie))[0]
    for row, excluded in enumerate(case.excluded):
        found = [leaves[node] for node in nodes[row].tolist() if node != -1]
        assert len(found) == len(set(found))
        assert {codes for _, codes in found} == case.ids(row, set(excluded))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases())
def test_a_softmax_over_the_catalog_gives_all_items_together_one(case: Case) -> None:
    """Whatever is filtered, and whatever is new: neither changes what a trained item is given."""
    case.shape, case.excluded = SHAPES[-1], [[] for _ in case.excluded]
    assume(case.trained.any())
    each = tokens_per_item(case.space, "item")
    case.histories = [(history * each)[: len(history) * each] for history in case.histories]
    case.beams, trie = case.items, build_trie(case.codes)
    with torch.no_grad():
        nodes, scores = search_of(case.space, case.shape)(*inputs(case, trie))
    leaves = leaf_codes(trie)
    for row in range(len(case.histories)):
        trained = [leaves[node][1] in case.cold(row).trained for node in nodes[row].tolist() if node != -1]
        probabilities = (scores[row][: len(trained)].double() * case.space.levels).exp()
        assert float(probabilities[torch.tensor(trained)].sum()) == pytest.approx(1, abs=1e-4)


SPACE = IdSpace(MODALITIES, levels=3, codes=8)


def example(beams: int, items: int = 60, seed: int = 0) -> Case:
    """A catalog of random codes and three requests without exclusions."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, SPACE.codes, (2, items, SPACE.levels)).astype(np.uint8)
    histories = [random.integers(1, SPACE.first_prompt_token, size).tolist() for size in (9, 3, 6)]
    return Case(SPACE, codes, histories, [0, 1, 0], [[], [], []], beams, np.ones(items, dtype=np.bool_))


def run(case: Case) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        nodes, scores = search_of(case.space)(*inputs(case, build_trie(case.codes)))
    return nodes, scores


def test_the_first_of_many_beams_are_not_what_few_beams_find() -> None:
    """So the width is an input of the graph: asking for many and cutting would change results."""
    narrow_nodes, narrow_scores = run(example(beams=2))
    wide_nodes, wide_scores = run(example(beams=20))
    assert narrow_nodes.shape == (3, 2)
    assert not torch.equal(wide_nodes[:, :2], narrow_nodes)
    assert (wide_scores[:, :2] >= narrow_scores - TIE).all()


@pytest.mark.parametrize("beam", [torch.zeros(5, dtype=torch.int64), torch.full((5,), 99.0), torch.ones(5).bool()])
def test_the_length_of_beam_is_the_width_and_its_values_mean_nothing(beam: Tensor) -> None:
    case = example(beams=5)
    expected = run(case)[0]
    with torch.no_grad():
        arguments = inputs(case, build_trie(case.codes))
        nodes, _ = search_of(SPACE)(*arguments[:6], beam, *arguments[7:])
    assert torch.equal(nodes, expected)


def test_rows_do_not_depend_on_their_batch() -> None:
    case = example(beams=6)
    case.excluded = [list(range(0, 60, 2)), [], list(range(30))]
    nodes, scores = run(case)
    for row in range(3):
        alone = Case(
            SPACE, case.codes, [case.histories[row]], [case.modality[row]], [case.excluded[row]], 6, case.trained
        )
        alone_nodes, alone_scores = run(alone)
        assert torch.equal(alone_nodes[0], nodes[row])
        torch.testing.assert_close(alone_scores[0], scores[row], atol=1e-5, rtol=0)


def test_items_may_exclude_everything() -> None:
    case = example(beams=4)
    case.excluded[1] = list(range(60))
    nodes, scores = run(case)
    assert nodes[1].tolist() == [-1] * 4
    assert scores[1].tolist() == [-np.inf] * 4
    assert (nodes[[0, 2]] > 0).all()


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_lists_may_read_one_history(shape: GeneratorShape) -> None:
    """They find what they find when each has a copy of it."""
    case = example(beams=4)
    tokens, *others = inputs(case, build_trie(case.codes))
    tokens = tokens[:, : 2 * SPACE.levels]
    read, search = torch.tensor([1, 0, 1]), search_of(SPACE, shape)
    nodes, scores = search(tokens[:2], *others, read)
    expected, expected_scores = search(tokens[read], *others)
    assert nodes.tolist() == expected.tolist()
    torch.testing.assert_close(scores, expected_scores, atol=1e-6, rtol=0)
    assert scores[0].tolist() != scores[1].tolist()


@pytest.mark.parametrize("beams", [2, 4, 10])
def test_hugging_faces_constrained_generation_finds_the_same(beams: int) -> None:
    """Every row has its own modality there too; a score there is the sum over the codes divided by their number."""
    case = example(beams)
    trie = build_trie(case.codes)
    tokens, leaves = inputs(case, trie)[0], leaf_codes(trie)
    nodes, scores = run(case)
    prefixes: list[dict[Codes, list[int]]] = [{} for _ in case.histories]
    for row, modality in enumerate(case.modality):
        for codes in case.ids(row, removed=set()):
            path = [SPACE.token_offset(modality, level) + code for level, code in enumerate(codes)]
            for length in range(SPACE.levels):
                prefixes[row].setdefault(tuple(path[:length]), []).append(path[length])
    generated: Any = as_t5(
        search_of(SPACE).transformer
    ).generate(  # type: ignore[misc]
        input_ids=tokens,
        attention_mask=(tokens != PAD).long(),
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        max_new_tokens=SPACE.levels,
        min_new_tokens=SPACE.levels,
        length_penalty=1.0,
        renormalize_logits=False,
        use_cache=False,
        prefix_allowed_tokens_fn=lambda row, prefix: prefixes[row][tuple(prefix[1:].tolist())],
        return_dict_in_generate=True,
        output_scores=True,
    )
    for row, modality in enumerate(case.modality):
        ours = [
            [SPACE.token_offset(modality, level) + code for level, code in enumerate(leaves[node][1])]
            for node in nodes[row].tolist()
        ]
        theirs = slice(row * beams, (row + 1) * beams)
        assert generated.sequences[theirs, 1:].tolist() == ours
        torch.testing.assert_close(scores[row], generated.sequences_scores[theirs], atol=TOLERANCE, rtol=0)
