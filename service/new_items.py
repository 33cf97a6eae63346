"""New items in a list that the generator ranked: it never saw them, so by score alone they hardly ever come up.

The rule. The first ``after`` places keep what the ranking put there. Behind them every ``every``-th place goes to the
best new item that does not stand yet; the ranking's items follow in their order. Where one list ends the other goes on.
So the first places cost nothing, and how much room new items get is stated.

Which new item is best: the one that is most like what the generator expects next (:mod:`model.codewords`), the trained
items of the ranking's own lists standing for that with their probabilities, on average over the modalities that are
searched, by their weights. Equals stand by the order of the catalog.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.fusion import ScoredItems
from service.interleave import interleave
from service.query import Query, Recommended
from service.snapshot import Snapshot


def places_of_new(query: Query) -> int:
    """How many of the k places go to new items."""
    return max(0, query.k - query.new_after) // query.new_every if query.new_every else 0


def mix(ranked: Sequence[Recommended], new: Sequence[Recommended], after: int, every: int) -> list[Recommended]:
    """Puts the items of ``new``, best first, into ``ranked``, by the rule above; ``every`` is at least 1."""
    return interleave(ranked, new, lambda place: place > after and (place - after) % every == 0)


def trained_only(snapshot: Snapshot, lists: Sequence[ScoredItems]) -> list[ScoredItems]:
    """The items of each list that the generator saw in training."""
    seen = [snapshot.catalog.trained[each.items] for each in lists]
    return [ScoredItems(each.items[kept], each.scores[kept]) for each, kept in zip(lists, seen, strict=True)]


def rank_new(
    snapshot: Snapshot,
    weights: dict[str, float],
    lists: Sequence[ScoredItems],
    new: NDArray[np.int64],
    count: int | None,
) -> list[Recommended]:
    """The first ``count`` of ``new`` items ``(n,)``, or all, best first.

    Args:
        snapshot: model and catalog.
        weights: of the modalities that were searched.
        lists: for each of those the trained items that were found, with mean log-probabilities per code.
        new: items that the generator never saw.
        count: how many are wanted; None wants all.
    """
    catalog = snapshot.catalog
    likeness = {
        modality: _likeness(snapshot, catalog.space.modality_index(modality), found, new)
        for modality, found in zip(weights, lists, strict=True)
        if len(found.items)
    }
    total = sum(weights[modality] for modality in likeness)
    scores = sum((weights[modality] / total * each for modality, each in likeness.items()), start=np.zeros(len(new)))
    return [
        Recommended(int(new[place]), float(scores[place]), ranks={}, scores={}, is_new=True)
        for place in _best(scores, len(new) if count is None else count)
    ]


def _best(scores: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The places of the ``count`` highest scores, highest first, equals in their order; without sorting all of them."""
    if count < len(scores):
        candidates = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    else:
        candidates = np.arange(len(scores))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:count]


def _likeness(snapshot: Snapshot, modality: int, found: ScoredItems, new: NDArray[np.int64]) -> NDArray[np.float32]:
    catalog = snapshot.catalog
    log_probabilities = found.scores.astype(np.float64) * catalog.space.levels
    probabilities = np.exp(log_probabilities - log_probabilities.max())
    return snapshot.codewords.likeness(
        modality,
        catalog.codes(modality, new),
        catalog.codes(modality, found.items),
        (probabilities / probabilities.sum()).astype(np.float32),
    )
