"""What one run of the search takes and gives, and several searches as one run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.exclusions import NO_EDGE
from model.semantic_ids import PAD


class TrieInputs(NamedTuple):
    """A catalog's trie where the search runs, made once and used by all requests."""

    values: dict[str, Any]
    first_leaf: int
    edge_cold: NDArray[np.bool_]


class SearchRows(NamedTuple):
    """What one run searches: B rows, one per modality.

    Attributes:
        tokens: ``(R, S)`` int64, the histories, padded on the right with 0; a single one has no padding.
        modality: ``(B,)`` int64, whose IDs each row searches.
        dead_edges: ``(B, L, X)`` int32, what the request forbids (:func:`model.exclusions.pack_dead_edges`).
        beam: W, the width.
        history: ``(B,)`` int64, which history each row reads; None if each row has its own.
    """

    tokens: NDArray[np.int64]
    modality: NDArray[np.int64]
    dead_edges: NDArray[np.int32]
    beam: int
    history: NDArray[np.int64] | None = None

    @property
    def histories(self) -> NDArray[np.int64]:
        """``(B,)`` int64, which history each row reads."""
        return np.arange(len(self.tokens)) if self.history is None else self.history


class Leaves(NamedTuple):
    """What a run found, best first.

    Attributes:
        leaves: ``(B, W)`` int64, -1 where there are fewer leaves than beams.
        scores: ``(B, W)`` float32, mean log-probability per code, -inf there.
        affinities: ``(R, m, L, M)`` float32, what dense scores of each history are made of; None without such scores.
        states_known: whether the history's beginning was encoded for an earlier search; None where that is of no use.
        searches: how many ran as one.
    """

    leaves: NDArray[np.int64]
    scores: NDArray[np.float32]
    affinities: NDArray[np.float32] | None = None
    states_known: bool | None = None
    searches: int = 1


def join_rows(searches: Sequence[SearchRows]) -> SearchRows:
    """Searches of one width, each after the other, as one: shorter histories and lists of dead edges are padded."""
    histories = [len(each.tokens) for each in searches]
    before = np.cumsum([0, *histories[:-1]])
    return SearchRows(
        tokens=_stacked([each.tokens for each in searches], PAD),
        modality=np.concatenate([each.modality for each in searches]),
        dead_edges=_stacked([each.dead_edges for each in searches], NO_EDGE),
        beam=searches[0].beam,
        history=np.concatenate([each.histories + first for each, first in zip(searches, before, strict=True)]),
    )


def part_leaves(found: Leaves, searches: Sequence[SearchRows]) -> list[Leaves]:
    """What a run of :func:`join_rows` found, for each of the searches."""
    rows = np.cumsum([len(each.modality) for each in searches])[:-1]
    histories = np.cumsum([len(each.tokens) for each in searches])[:-1]
    nothing = [None] * len(searches)
    affinities = nothing if found.affinities is None else np.split(found.affinities, histories)
    parts = zip(np.split(found.leaves, rows), np.split(found.scores, rows), affinities, strict=True)
    return [Leaves(*part, searches=len(searches)) for part in parts]


def _stacked(arrays: Sequence[NDArray[Any]], fill: int) -> NDArray[Any]:
    """Arrays one below the other, padded along their last axis to the widest."""
    width = max(each.shape[-1] for each in arrays)
    padding = [[(0, 0)] * (each.ndim - 1) + [(0, width - each.shape[-1])] for each in arrays]
    return np.concatenate([np.pad(each, pad, constant_values=fill) for each, pad in zip(arrays, padding, strict=True)])
