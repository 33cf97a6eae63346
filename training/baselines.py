"""What a model must beat: popularity, item-kNN and a decayed Markov window, ranked over the full catalog.

They are learned from the split's training events alone. An item-to-item matrix holds one number for every pair of items
that share a user (or a window), so they are meant for catalogs of up to some 100,000 items.

The default window and decays reproduce reference figures on MovieLens-100k's test targets. They are conventions to
compare with, not choices made on validation, and other data may well have stronger ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.metrics import ABSENT, Estimate, summarise
from training.split import NO_ITEM, Part, Split

WINDOW = 20
BATCH = 256


class Baseline(Protocol):
    """Anything that scores the catalog for users of a split."""

    def scores(self, users: NDArray[np.integer], part: Part, /) -> NDArray[np.float64]:
        """Scores float64 ``(B, N)`` of all items for the events before the part's targets; higher is better."""


class BaselineMetrics(NamedTuple):
    """``hr@k`` and ``ndcg@k`` with the user's seen items removed from the ranking, and left in."""

    seen_removed: dict[str, Estimate]
    seen_left_in: dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Popularity:
    """Every user gets the items in the order of their training counts, int64 ``(N,)``."""

    counts: NDArray[np.int64]

    def scores(self, users: NDArray[np.integer], _part: Part, /) -> NDArray[np.float64]:
        """The training counts, once for each user."""
        return np.broadcast_to(self.counts.astype(np.float64), (len(users), len(self.counts)))


@dataclass(frozen=True, eq=False)
class ItemToItem:
    """Sums rows of an item-to-item matrix ``(N, N)`` over the recent history, by ``decay`` to the item's age.

    The last item has age 0; ``window`` items are looked at.
    """

    split: Split
    weights: sparse.csr_matrix
    window: int
    decay: float

    def scores(self, users: NDArray[np.integer], part: Part, /) -> NDArray[np.float64]:
        """``sum over ages a of decay^a * weights[item at age a]``."""
        items, lengths = self.split.histories(users, part, self.window)
        rows, steps = np.nonzero(np.arange(self.window) < lengths[:, None])
        weights = self.decay ** (lengths[rows] - 1 - steps)
        shape = (len(users), self.weights.shape[0])
        recent = sparse.csr_matrix((weights, (rows, items[rows, steps])), shape=shape)
        scores: NDArray[np.float64] = (recent @ self.weights).toarray()
        return scores


def popularity(split: Split, items: int) -> Popularity:
    """Training counts of a catalog of ``items``."""
    return Popularity(split.training_counts(items))


def item_knn(split: Split, items: int, window: int = WINDOW, decay: float = 0.9) -> ItemToItem:
    """Cosine of two items' sets of training users, ``|U_i & U_j| / sqrt(|U_i| |U_j|)``, 0 for an item and itself."""
    events = split.training_events()
    users = split.interactions.user_of_event()[events]
    shape = (split.interactions.users, items)
    met = sparse.csr_matrix((np.ones(len(users)), (users, split.interactions.items[events])), shape=shape)
    met.data[:] = 1.0  # a repeat purchase is still one user
    norms = np.sqrt(np.maximum(np.asarray(met.sum(axis=0)).ravel(), 1))
    scaled = met @ sparse.diags(1 / norms)
    cosine = scaled.T @ scaled
    others = sparse.csr_matrix(cosine - sparse.diags(cosine.diagonal()))
    return ItemToItem(split, others, window, decay)


def markov_window(split: Split, items: int, window: int = WINDOW, decay: float = 0.8) -> ItemToItem:
    """How often one item follows another in training within ``window`` steps, each by ``decay`` to the steps between.

    A count, not a probability: frequent successors count as often as they come.
    """
    sequence, positions = split.interactions.items, np.arange(split.interactions.events)
    ends = np.repeat(split.train_ends, split.interactions.lengths())
    follows = sparse.csr_matrix((items, items))
    for step in range(1, window + 1):
        first = np.flatnonzero(positions + step < ends)
        pairs = (sequence[first], sequence[first + step])
        follows += sparse.csr_matrix((np.full(len(first), decay ** (step - 1)), pairs), shape=(items, items))
    return ItemToItem(split, follows, window, decay)


BASELINES: dict[str, Callable[[Split, int], Baseline]] = {
    "popularity": popularity,
    "item_knn": item_knn,
    "markov_window": markov_window,
}


def target_ranks(
    baseline: Baseline, split: Split, items: int, part: Part, *, remove_seen: bool, batch: int = BATCH
) -> NDArray[np.int64]:
    """The 0-based rank of each evaluation user's target, int64 ``(V,)``, over all ``items``.

    Equal scores rank by training count, then by item index. With ``remove_seen`` the user's earlier items leave the
    ranking; a target among them is :data:`ABSENT`.
    """
    order = popularity_order(split.training_counts(items))
    ranks = np.empty(len(split.users), dtype=np.int64)
    scored = _scored(baseline, split, split.users, part, remove_seen=remove_seen, batch=batch)
    for start, (users, scores) in enumerate(scored):
        ranks[start * batch : (start + 1) * batch] = _ranks(scores, split.targets(users, part), order)
    return ranks


def top_items(
    baseline: Baseline,
    split: Split,
    users: NDArray[np.integer],
    items: int,
    part: Part,
    *,
    remove_seen: bool,
    count: int,
    batch: int = BATCH,
) -> NDArray[np.int32]:
    """The first ``count`` items of each user's ranking, int32 ``(B, count)``, NO_ITEM where there are fewer."""
    by_order = np.argsort(popularity_order(split.training_counts(items)))
    top = np.full((len(users), count), NO_ITEM, dtype=np.int32)
    scored = _scored(baseline, split, users, part, remove_seen=remove_seen, batch=batch)
    for start, (_, scores) in enumerate(scored):
        columns = np.argsort(-scores[:, by_order], axis=1, kind="stable")[:, :count]
        best = np.where(np.isneginf(np.take_along_axis(scores, by_order[columns], axis=1)), NO_ITEM, by_order[columns])
        top[start * batch : (start + 1) * batch, : best.shape[1]] = best
    return top


def _scored(
    baseline: Baseline, split: Split, users: NDArray[np.integer], part: Part, *, remove_seen: bool, batch: int
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.float64]]]:
    """Users and their scores, ``batch`` at a time."""
    for start in range(0, len(users), batch):
        rows = users[start : start + batch]
        scores = baseline.scores(rows, part)
        yield rows, _without_seen(scores, split, rows, part) if remove_seen else scores


def evaluate(baseline: Baseline, split: Split, items: int, part: Part) -> BaselineMetrics:
    """HR and NDCG of a baseline under both protocols."""
    removed, left = (target_ranks(baseline, split, items, part, remove_seen=seen) for seen in (True, False))
    return BaselineMetrics(summarise(removed), summarise(left))


def popularity_order(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Each item's place, int64 ``(N,)``, by falling count, then by index."""
    order = np.empty(len(counts), dtype=np.int64)
    order[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return order


def _without_seen(
    scores: NDArray[np.float64], split: Split, users: NDArray[np.integer], part: Part
) -> NDArray[np.float64]:
    """A copy of the scores with minus infinity at the users' seen items."""
    seen = split.seen(users, part)
    remaining = scores.copy()
    remaining[np.repeat(np.arange(len(users)), np.diff(seen.offsets)), seen.items] = -np.inf
    return remaining


def _ranks(scores: NDArray[np.float64], targets: NDArray[np.int32], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranks int64 ``(B,)`` of one target a row; ties by ``order``."""
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    before = (scores > own) | ((scores == own) & (order < order[targets][:, None]))
    return np.where(np.isneginf(own[:, 0]), ABSENT, before.sum(axis=1))
