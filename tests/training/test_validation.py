import numpy as np
import pytest
import torch

from model.fusion import FusionConfig
from model.generator import Generator, GeneratorConfig
from model.list_names import FUSED
from model.semantic_ids import IdSpace
from tests.toys import SIZES, SPACE, cycles, data_of, random_codes
from training.generator_data import GeneratorData
from training.metrics import ABSENT
from training.retrieval import LeafLists, Retriever
from training.split import Histories, SeenItems
from training.validation import HeldOut, Ranks, main_list, rank_targets

# Items 1 and 2 share their text ID. Text leaves: 0 = {0}, 1 = {2, 1}, 2 = {3}; image leaves: 3 to 6 = items 0 to 3.
CODES = np.array([[[0, 0], [1, 0], [1, 0], [2, 0]], [[0, 1], [1, 1], [2, 1], [3, 1]]], dtype=np.uint8)
# Training parts [2, 0] and [2, 3], so item 2 stands before item 1. Test targets are 3 and 1.
SEQUENCES = [[2, 0, 1, 3], [2, 3, 2, 1]]
TEXT_LEAVES, TEXT_SCORES = [1, 2, 0], [-1.0, -2.0, -3.0]
IMAGE_LEAVES, IMAGE_SCORES = [6, 3, -1], [-1.0, -4.0, -np.inf]


class Scripted(Retriever):
    """Gives every history the lists above instead of searching."""

    def lists(
        self,
        histories: Histories,
        modality: int,
        beam: int,
        removed: SeenItems | None,  # noqa: ARG002 (the ranks must not rely on the search alone)
    ) -> LeafLists:
        leaves, scores = ((TEXT_LEAVES, TEXT_SCORES), (IMAGE_LEAVES, IMAGE_SCORES))[modality]
        users = len(histories.lengths)
        return LeafLists(
            np.tile(leaves[:beam], (users, 1)), np.tile(np.array(scores[:beam], dtype=np.float32), (users, 1))
        )


def make(kind: type[Retriever], data: GeneratorData) -> Retriever:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(space=data.space, prompted_tasks=4, max_history=5, sizes=SIZES))
    return kind(generator.search(), data.space, data.codes, data.trie, torch.device("cpu"))


def ranks(*, remove_seen: bool) -> dict[str, Ranks]:
    data = data_of(SEQUENCES, CODES)
    held_out = HeldOut(data.split, data.split.users, "test", 5, remove_seen)
    assert held_out.targets.tolist() == [3, 1]
    return rank_targets(make(Scripted, data), held_out, 3, FusionConfig())


def ids(one: Ranks) -> list[int]:
    assert one.semantic_id is not None
    return [int(rank) for rank in one.semantic_id]


def test_item_ranks_count_items_and_id_ranks_count_leaves() -> None:
    found = ranks(remove_seen=False)
    # Text items: 2, 1, 3, 0. A hit on a shared leaf is no hit on its second item at rank 0.
    assert found["text"].item.tolist() == [2, 1]
    assert ids(found["text"]) == [1, 0]
    # Image items: 3, 0; item 1 is not among them.
    assert found["image"].item.tolist() == [0, ABSENT]
    assert ids(found["image"]) == [0, ABSENT]


def test_fused_ranks() -> None:
    # Means with the lists' lowest for what they lack: item 3 -1.5, items 2 and 1 -2.5, item 0 -3.5.
    found = ranks(remove_seen=False)
    assert found[FUSED].item.tolist() == [0, 2]
    assert found[FUSED].semantic_id is None


def test_a_seen_item_on_a_shared_leaf_does_not_come_back_with_it() -> None:
    found = ranks(remove_seen=True)
    # The users have seen 2, 0, 1 and 2, 3, 2: text items are 3 and 1, 0; image items 3 and 0.
    assert found["text"].item.tolist() == [0, 0]
    assert found["image"].item.tolist() == [0, ABSENT]
    assert found[FUSED].item.tolist() == [0, 0]


def test_the_main_list_is_the_fused_or_the_only_one() -> None:
    found = ranks(remove_seen=False)
    assert main_list(found) is found[FUSED]
    assert main_list({"text": found["text"]}) is found["text"]


@pytest.mark.parametrize("remove_seen", [False, True])
def test_a_real_search_ranks_every_unseen_item_once(remove_seen: bool) -> None:
    data = data_of(cycles(items=12), random_codes(12))
    held_out = HeldOut(data.split, data.split.users, "validation", 5, remove_seen)
    found = rank_targets(make(Retriever, data), held_out, 64, FusionConfig())
    assert set(found) == {"text", "image", FUSED}
    seen = data.split.seen(held_out.users, "validation")
    for name, one in found.items():
        for user, rank in enumerate(one.item.tolist()):
            items = set(seen.items[seen.offsets[user] : seen.offsets[user + 1]].tolist())
            if not remove_seen:
                assert 0 <= rank < 12, name
            elif held_out.targets[user] in items:
                assert rank == ABSENT
            else:
                assert 0 <= rank < 12 - len(items)
        if one.semantic_id is not None and not remove_seen:
            assert one.semantic_id.tolist() == one.item.tolist()  # no leaf is shared


def test_one_modality_has_no_fused_list() -> None:
    space = IdSpace(("text",), SPACE.levels, SPACE.codes)
    data = data_of(cycles(items=12), random_codes(12, space), space)
    held_out = HeldOut(data.split, data.split.users, "test", 5, remove_seen=False)
    assert list(rank_targets(make(Retriever, data), held_out, 5, FusionConfig())) == ["text"]
