import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from model.generator import Generator, GeneratorConfig
from model.semantic_ids import PAD
from tests.toys import SIZES, SPACE, cycles, data_of, random_codes
from training.generator_data import GeneratorData
from training.retrieval import NO_LEAF, Retriever
from training.split import Histories

ITEMS, MAX_HISTORY = 12, 5
EXHAUSTIVE = 64
"""More beams than there are semantic IDs: such a search leaves nothing out."""


def shared_codes() -> NDArray[np.uint8]:
    codes = random_codes(ITEMS)
    codes[0, 3] = codes[0, 7] = codes[0, 5]
    return codes


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig(space=SPACE, prompted_tasks=4, max_history=MAX_HISTORY, sizes=SIZES)).eval()


@pytest.fixture(scope="module")
def data() -> GeneratorData:
    return data_of(cycles(items=ITEMS), shared_codes())


def retriever(generator: Generator, data: GeneratorData, batch_size: int = 128) -> Retriever:
    return Retriever(generator.search(), data.space, data.codes, data.trie, torch.device("cpu"), batch_size)


def histories(data: GeneratorData) -> Histories:
    return data.split.histories(data.split.users, "test", MAX_HISTORY)


@torch.inference_mode()
def naive(generator: Generator, data: GeneratorData, history: list[int], modality: int) -> dict[int, float]:
    """The mean log-probability per code of every leaf, each decoded on its own."""
    tokens = torch.from_numpy(data.space.tokens(modality, data.codes[modality][history]).reshape(1, -1))
    present = torch.ones_like(tokens, dtype=torch.bool)
    memory = generator.transformer.memory(generator.transformer.encode(tokens, present), present)
    scores = {}
    for item in range(ITEMS):
        target = torch.from_numpy(data.space.tokens(modality, data.codes[modality, item]))[None]
        logits = generator.transformer.decode(F.pad(target[:, :-1], (1, 0), value=PAD), memory)
        by_code = logits.log_softmax(-1).gather(2, target[:, :, None])
        scores[int(data.trie.item_leaf[modality, item])] = by_code.mean().item()
    return scores


@pytest.mark.parametrize("modality", [0, 1])
def test_lists_equal_scoring_every_semantic_id_of_every_history(
    generator: Generator, data: GeneratorData, modality: int
) -> None:
    given = histories(data)
    found = retriever(generator, data, batch_size=7).lists(given, modality, EXHAUSTIVE, removed=None)
    for row, length in enumerate(given.lengths):
        expected = naive(generator, data, given.items[row, :length].tolist(), modality)
        best_first = sorted(expected, key=lambda leaf: -expected[leaf])
        assert found.leaves[row, : len(best_first)].tolist() == best_first
        assert (found.leaves[row, len(best_first) :] == NO_LEAF).all()
        assert found.scores[row, : len(best_first)] == pytest.approx([expected[leaf] for leaf in best_first], abs=1e-4)
        assert (found.scores[row, len(best_first) :] == -np.inf).all()


def test_batches_do_not_change_lists(generator: Generator, data: GeneratorData) -> None:
    one_by_one = retriever(generator, data, batch_size=1).lists(histories(data), 0, 4, removed=None)
    together = retriever(generator, data).lists(histories(data), 0, 4, removed=None)
    assert together.leaves.tolist() == one_by_one.leaves.tolist()
    assert together.scores == pytest.approx(one_by_one.scores, abs=1e-5)


@pytest.mark.parametrize("modality", [0, 1])
def test_seen_items_never_come_back_and_all_else_stays(
    generator: Generator, data: GeneratorData, modality: int
) -> None:
    given, seen = histories(data), data.split.seen(data.split.users, "test")
    search = retriever(generator, data)
    everything = search.lists(given, modality, EXHAUSTIVE, removed=None)
    left = search.lists(given, modality, EXHAUSTIVE, removed=seen)
    for row in range(len(given.lengths)):
        gone = set(seen.items[seen.offsets[row] : seen.offsets[row + 1]].tolist())
        kept = [
            leaf
            for leaf in everything.leaves[row].tolist()
            if leaf != NO_LEAF and not set(data.trie.leaf_items(leaf).tolist()) <= gone
        ]
        assert [leaf for leaf in left.leaves[row].tolist() if leaf != NO_LEAF] == kept


def test_a_shared_leaf_expands_by_training_count_then_id(generator: Generator) -> None:
    # Training parts: [7, 0], [7, 5]; items 3, 5 and 7 share their text ID.
    data = data_of([[7, 0, 1, 2], [7, 5, 1, 2]], shared_codes())
    leaves = data.trie.item_leaf[0, [0, 5]].astype(np.int64)
    given = np.concatenate((leaves, [NO_LEAF]))
    items, scores = retriever(generator, data).items_of(given, np.array([-0.5, -1.0, -np.inf], dtype=np.float32))
    assert items.tolist() == [0, 7, 5, 3]
    assert scores.tolist() == [-0.5, -1.0, -1.0, -1.0]


def test_an_empty_list_has_no_items(generator: Generator, data: GeneratorData) -> None:
    items, scores = retriever(generator, data).items_of(np.full(3, NO_LEAF), np.full(3, -np.inf, dtype=np.float32))
    assert len(items) == len(scores) == 0
