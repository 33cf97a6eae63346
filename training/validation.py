"""The ranks that a generator gives to held-out items, in every list and in the fused one."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.fusion import FusionConfig, ScoredItems, fuse
from training.metrics import ABSENT
from training.retrieval import LeafLists, Retriever
from training.split import Part, Split

FUSED = "fused"


class Ranks(NamedTuple):
    """0-based ranks of B targets in one list, ABSENT where not found: of the item, and of its semantic ID."""

    item: NDArray[np.int64]
    semantic_id: NDArray[np.int64] | None


@dataclass(frozen=True)
class HeldOut:
    """What to find: the users, the part of the split, the longest history and whether seen items may come back."""

    split: Split
    users: NDArray[np.int64]
    part: Part
    max_history: int
    remove_seen: bool

    @property
    def targets(self) -> NDArray[np.int32]:
        """The item to find for each user."""
        return self.split.targets(self.users, self.part)


def rank_targets(retriever: Retriever, held_out: HeldOut, beam: int, fusion: FusionConfig) -> dict[str, Ranks]:
    """Ranks by list name: each modality's, and ``fused`` if there are several."""
    histories = held_out.split.histories(held_out.users, held_out.part, held_out.max_history)
    removed = held_out.split.seen(held_out.users, held_out.part) if held_out.remove_seen else None
    names = retriever.space.modalities
    lists = [retriever.lists(histories, modality, beam, removed) for modality in range(len(names))]
    ranks = {name: _list_ranks(retriever, lists[m], m, held_out) for m, name in enumerate(names)}
    if len(names) > 1:
        ranks[FUSED] = Ranks(_fused_ranks(retriever, lists, held_out, fusion), None)
    return ranks


def main_list(ranks: dict[str, Ranks]) -> Ranks:
    """The list that a user would be shown: the fused one, or the only one."""
    return ranks[FUSED] if FUSED in ranks else next(iter(ranks.values()))


def _list_ranks(retriever: Retriever, lists: LeafLists, modality: int, held_out: HeldOut) -> Ranks:
    """Item ranks count every item before the target, on its own leaf too; ID ranks count leaves."""
    targets = held_out.targets
    leaf_of_target = retriever.trie.item_leaf[modality, targets]
    matches = lists.leaves == leaf_of_target[:, None]
    id_ranks = np.where(matches.any(axis=1), matches.argmax(axis=1), ABSENT)
    items = [entry.items for entry in _item_lists(retriever, lists, held_out)]
    item_ranks = np.array([_position(one, target) for one, target in zip(items, targets, strict=True)])
    return Ranks(item_ranks, id_ranks)


def _item_lists(retriever: Retriever, lists: LeafLists, held_out: HeldOut) -> list[ScoredItems]:
    """The items of each user's leaves; a removed item that shares its leaf with others is dropped here."""
    expanded = [retriever.items_of(*row) for row in zip(lists.leaves, lists.scores, strict=True)]
    if not held_out.remove_seen:
        return [ScoredItems(*entry) for entry in expanded]
    seen = held_out.split.seen(held_out.users, held_out.part)
    kept = []
    for user, (items, scores) in enumerate(expanded):
        allowed = ~np.isin(items, seen.items[seen.offsets[user] : seen.offsets[user + 1]])
        kept.append(ScoredItems(items[allowed], scores[allowed]))
    return kept


def _fused_ranks(
    retriever: Retriever, lists: list[LeafLists], held_out: HeldOut, fusion: FusionConfig
) -> NDArray[np.int64]:
    per_modality = [_item_lists(retriever, one, held_out) for one in lists]
    weights = [1.0] * len(lists)
    levels = retriever.space.levels
    fused = [fuse(row, weights, levels, fusion).items for row in zip(*per_modality, strict=True)]
    return np.array([_position(items, t) for items, t in zip(fused, held_out.targets, strict=True)])


def _position(items: NDArray[np.integer], target: int) -> int:
    found = np.flatnonzero(items == target)
    return int(found[0]) if len(found) else ABSENT
