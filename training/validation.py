"""The ranks that a generator gives to held-out items, in every list and in the fused one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.dense import DenseList
from model.fusion import FusionConfig, ScoredItems, fuse
from model.list_names import DENSE, FUSED
from training.metrics import ABSENT
from training.retrieval import LeafLists, Retriever
from training.split import Part, Split


class Ranks(NamedTuple):
    """0-based ranks of B targets in one list, ABSENT where not found: of the item, and of its semantic ID."""

    item: NDArray[np.int64]
    semantic_id: NDArray[np.int64] | None


class Found(NamedTuple):
    """One list of B users: their items, best first, each ``(n,)``, and the ranks of their targets in it."""

    items: Sequence[NDArray[np.integer]]
    ranks: Ranks


class Searched(NamedTuple):
    """What is joined for B users: each modality's list of every user, and ``(B, m, L, M)`` affinities, if any."""

    lists: list[list[ScoredItems]]
    affinities: NDArray[np.float32] | None


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
    return {name: found.ranks for name, found in find_targets(retriever, held_out, beam, fusion).items()}


def find_targets(retriever: Retriever, held_out: HeldOut, beam: int, fusion: FusionConfig) -> dict[str, Found]:
    """What the search finds, by list name: each modality's, ``dense`` if there is one, and ``fused`` if several."""
    names = retriever.space.modalities
    leaves = _leaf_lists(retriever, held_out, beam)
    searched = _searched(retriever, held_out, leaves)
    found: dict[str, Found] = {}
    for modality, name in enumerate(names):
        items = [entry.items for entry in searched.lists[modality]]
        id_ranks = _id_ranks(retriever, leaves[modality], modality, held_out.targets)
        found[name] = Found(items, Ranks(positions(items, held_out.targets), id_ranks))
    if searched.affinities is not None:
        denses = [retriever.dense_list(1.0, each) for each in searched.affinities]
        rows = zip(*searched.lists, strict=True)
        found[DENSE] = _found([_by_dense(row, dense) for row, dense in zip(rows, denses, strict=True)], held_out)
    if len(found) > 1:
        found[FUSED] = _found(fuse_all(retriever, searched, fusion), held_out)
    return found


def search_all(retriever: Retriever, held_out: HeldOut, beam: int) -> Searched:
    """What goes into the fusion."""
    return _searched(retriever, held_out, _leaf_lists(retriever, held_out, beam))


def fuse_all(retriever: Retriever, searched: Searched, fusion: FusionConfig) -> list[NDArray[np.int64]]:
    """Every user's joined list, of the modalities' lists and dense scores."""
    weights, levels = fusion.list_weights(retriever.space.modalities), retriever.space.levels
    denses: list[DenseList | None] = [None] * len(searched.lists[0])
    if searched.affinities is not None and fusion.dense_weight:
        denses = [retriever.dense_list(fusion.dense_weight, each) for each in searched.affinities]
    rows = zip(*searched.lists, strict=True)
    return [fuse(row, weights, levels, fusion, dense).items for row, dense in zip(rows, denses, strict=True)]


def draw_users(split: Split, wanted: int, seed: int) -> NDArray[np.int64]:
    """All users with held-out events, or ``wanted`` of them drawn by the seed; ascending."""
    if not wanted or wanted >= len(split.users):
        return split.users
    return np.sort(np.random.default_rng(seed).choice(split.users, wanted, replace=False))


def _leaf_lists(retriever: Retriever, held_out: HeldOut, beam: int) -> list[LeafLists]:
    histories = held_out.split.histories(held_out.users, held_out.part, held_out.max_history)
    removed = held_out.split.seen(held_out.users, held_out.part) if held_out.remove_seen else None
    return [retriever.lists(histories, modality, beam, removed) for modality in range(len(retriever.space.modalities))]


L = TypeVar("L")


def main_list(lists: dict[str, L]) -> L:
    """Of the lists' results that of the list that a user would be shown: the fused one, or the only one."""
    return lists[FUSED] if FUSED in lists else next(iter(lists.values()))


def _searched(retriever: Retriever, held_out: HeldOut, leaves: list[LeafLists]) -> Searched:
    """Lists of leaves as lists of items, and what scores their items as wholes."""
    affinities = None
    if retriever.is_dense:
        histories = held_out.split.histories(held_out.users, held_out.part, held_out.max_history)
        affinities = retriever.affinities(histories)
    return Searched([_item_lists(retriever, one, held_out) for one in leaves], affinities)


def _found(items: list[NDArray[np.int64]], held_out: HeldOut) -> Found:
    """A list that is no modality's."""
    return Found(items, Ranks(positions(items, held_out.targets), None))


def _by_dense(lists: Sequence[ScoredItems], dense: DenseList) -> NDArray[np.int64]:
    """The items of one user's lists by their dense scores."""
    items = np.unique(np.concatenate([each.items for each in lists])).astype(np.int64)
    return items[np.argsort(-dense.of(items), kind="stable")]


def _id_ranks(retriever: Retriever, lists: LeafLists, modality: int, targets: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many leaves stand before the target's; item ranks count every item, on its own leaf too."""
    matches = lists.leaves == retriever.trie.item_leaf[modality, targets][:, None]
    return np.where(matches.any(axis=1), matches.argmax(axis=1), ABSENT)


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


def positions(lists: Sequence[NDArray[np.integer]], targets: NDArray[np.integer]) -> NDArray[np.int64]:
    """The 0-based place of each target in its list, ABSENT where it is not there."""
    places = [np.flatnonzero(items == target) for items, target in zip(lists, targets, strict=True)]
    return np.array([place[0] if len(place) else ABSENT for place in places], dtype=np.int64)
