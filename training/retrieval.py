"""Offline search: the lists that a generator gives to many histories, as items and as semantic IDs."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.beam_search import ConstrainedBeamSearch
from model.cold_start import cold_edges
from model.continued_search import affinities_after
from model.dense import DenseList, dense_scores
from model.exclusions import NO_EDGE, dead_edges, pack_dead_edges
from model.history_tokens import history_tokens
from model.semantic_ids import PAD, IdSpace
from model.trie import Trie
from training.split import Histories, SeenItems

NO_LEAF = -1


class LeafLists(NamedTuple):
    """The W best leaves of each of B histories in one modality: ``(B, W)`` int64, -1 behind the end, and scores."""

    leaves: NDArray[np.int64]
    scores: NDArray[np.float32]


class Retriever:
    """Runs the constrained beam search over one catalog for many histories, in batches of equal length."""

    def __init__(
        self,
        search: ConstrainedBeamSearch,
        space: IdSpace,
        codes: NDArray[np.uint8],
        trie: Trie,
        device: torch.device,
        batch_size: int = 128,
        trained: NDArray[np.bool_] | None = None,
    ) -> None:
        """Prepares the searches.

        Args:
            search: the module.
            space: the ID space.
            codes: ``(m, N, L)`` uint8, the semantic IDs.
            trie: theirs.
            device: where the search runs.
            batch_size: histories at once.
            trained: ``(N,)``, which items the generator saw; all if not given.
        """
        self.search = search.eval()
        self.space = space
        self.codes = codes
        self.trie = trie
        self.device = device
        self.batch_size = batch_size
        position, by_modality = search.shape.position, dict(enumerate(codes))
        self.item_tokens = [history_tokens(space, position, modality, by_modality) for modality in by_modality]
        self.child_start = torch.from_numpy(np.asarray(trie.child_start)).to(device)
        self.child_code = torch.from_numpy(np.asarray(trie.child_code)).to(device)
        self.edge_allowed = torch.ones(len(trie.child_code), dtype=torch.bool, device=device)
        cold = np.zeros(len(trie.child_code), dtype=np.bool_) if trained is None else cold_edges(trie, trained)
        self.edge_cold = torch.from_numpy(cold).to(device)
        self.slots = [torch.arange(most, device=device) for most in trie.fan_outs]

    def lists(self, histories: Histories, modality: int, beam: int, removed: SeenItems | None) -> LeafLists:
        """Searches the IDs of one modality after the IDs of the histories in the same modality.

        Args:
            histories: B histories of at least one item.
            modality: the modality's index.
            beam: W.
            removed: items that may not come back, per history; None leaves all in.
        """
        leaves = np.full((len(histories.lengths), beam), NO_LEAF, dtype=np.int64)
        scores = np.full((len(histories.lengths), beam), -np.inf, dtype=np.float32)
        for rows in self._batches(histories.lengths):
            dead = self._dead_edges(modality, rows, removed)
            nodes, row_scores = self._run(self._tokens(histories, modality, rows), modality, dead, beam)
            leaves[rows] = np.where(nodes >= 0, nodes - self.trie.first_leaf, NO_LEAF)
            scores[rows] = row_scores
        return LeafLists(leaves, scores)

    @property
    def is_dense(self) -> bool:
        """Whether the generator scores whole items, too."""
        return self.search.shape.dense

    def affinities(self, histories: Histories) -> NDArray[np.float32]:
        """What :func:`model.dense.dense_scores` reads, for B histories of at least one item: ``(B, m, L, M)``."""
        space = self.space
        found = np.empty((len(histories.lengths), len(space.modalities), space.levels, space.codes), dtype=np.float32)
        for rows in self._batches(histories.lengths):
            found[rows] = affinities_after(self.search, self._tokens(histories, 0, rows)).cpu().numpy()
        return found

    def dense_list(self, weight: float, affinities: NDArray[np.float32]) -> DenseList:
        """One history's dense scores as a list, given its ``affinities`` ``(m, L, M)``."""
        return DenseList(weight, lambda items: dense_scores(affinities, self.codes[:, items]))

    def items_of(
        self, leaves: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Items of one history's leaves ``(W,)`` in order, those on one leaf by rank, with their leaf's score."""
        leaves = leaves[leaves != NO_LEAF]
        starts, ends = self.trie.leaf_start[leaves], self.trie.leaf_start[leaves + 1]
        counts = ends - starts
        first = np.cumsum(counts) - counts
        slots = np.arange(counts.sum()) + np.repeat(starts - first, counts)
        return self.trie.leaf_item[slots], np.repeat(scores[: len(leaves)], counts)

    def _batches(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        by_length = np.argsort(lengths, kind="stable")
        for start in range(0, len(by_length), self.batch_size):
            yield by_length[start : start + self.batch_size]

    def _tokens(self, histories: Histories, modality: int, rows: NDArray[np.int64]) -> Tensor:
        longest = int(histories.lengths[rows].max())
        items = histories.items[rows, :longest]
        tokens = np.where(items[:, :, None] >= 0, self.item_tokens[modality][items], PAD)
        return torch.from_numpy(tokens.reshape(len(rows), -1)).to(self.device)

    def _dead_edges(self, modality: int, rows: NDArray[np.int64], removed: SeenItems | None) -> NDArray[np.int32]:
        if removed is None:
            return np.full((len(rows), self.space.levels, 1), NO_EDGE, dtype=np.int32)
        spans = zip(removed.offsets[rows], removed.offsets[rows + 1], strict=True)
        return pack_dead_edges([dead_edges(self.trie, modality, removed.items[start:end]) for start, end in spans])

    @torch.inference_mode()
    def _run(
        self, tokens: Tensor, modality: int, dead: NDArray[np.int32], beam: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        nodes, scores = self.search(
            tokens,
            torch.full((len(tokens),), modality, device=self.device),
            self.child_start,
            self.child_code,
            self.edge_allowed,
            torch.from_numpy(dead).to(self.device),
            torch.empty(beam, device=self.device),
            self.edge_cold,
            slots=self.slots,
        )
        return nodes.cpu().numpy(), scores.cpu().numpy()
