"""Joining the modalities' lists into one.

Every modality's search gives a list of items with scores, a score being the mean log-probability per code. Each rule
below says what an item is worth that several lists, or only one of them, hold. Let R_i be the lists that hold item i,
s_j(i) its score in list j, and w_j the weight of list j.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat

from model.config import Config
from model.dense import DenseList
from model.errors import ConfigError
from model.list_names import DENSE

NO_RANK = 0


class Rule(StrEnum):
    """How lists are joined."""

    MEAN = "mean"
    BONUS = "bonus"


class FusionConfig(Config):
    """How lists are joined.

    Attributes:
        rule: the formula.
        bonus: for the rule ``bonus``: nats of sequence log-probability for each further list that holds an item.
        weights: of the lists, by modality, and of ``dense`` scores; 1 where nothing is said, 0 leaves a list out.
    """

    rule: Rule = Rule.MEAN
    bonus: float = 5.0
    weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)

    def list_weights(self, modalities: Sequence[str]) -> list[float]:
        """The weight of each of the lists."""
        return [self.weights.get(modality, 1.0) for modality in modalities]

    @property
    def dense_weight(self) -> float:
        """The weight of dense scores, where there are any."""
        return self.weights.get(DENSE, 1.0)


class ScoredItems(NamedTuple):
    """One modality's list, best first: item indices ``(n,)`` and mean log-probabilities per code ``(n,)``."""

    items: NDArray[np.integer]
    scores: NDArray[np.floating]


NOTHING = ScoredItems(np.zeros(0, dtype=np.int64), np.zeros(0))


class FusedItems(NamedTuple):
    """The joined list, best first.

    Attributes:
        items: item indices ``(n,)`` int64.
        scores: ``(n,)`` float64.
        list_ranks: ``(n, J)`` int64, the item's rank in each of the J lists, from 1; 0 where a list does not hold it.
            A dense list is one of them.
        list_scores: ``(n, J)`` float64, its score in each list; NaN where a list does not hold it.
    """

    items: NDArray[np.int64]
    scores: NDArray[np.float64]
    list_ranks: NDArray[np.int64]
    list_scores: NDArray[np.float64]


def fuse(
    lists: Sequence[ScoredItems],
    weights: Sequence[float],
    levels: int,
    config: FusionConfig | None = None,
    dense: DenseList | None = None,
) -> FusedItems:
    """Joins J lists; ties go to the better best rank, then to the lower item index.

    Args:
        lists: one per modality that was searched, none with an item twice.
        weights: one per list, only their proportions matter; a list of weight 0 takes no part.
        levels: L, codes per semantic ID: a mean per code times L is a sequence log-probability.
        config: the rule; the mean if not given.
        dense: one list more, of all items that the others hold, the last in the result.

    Raises:
        ConfigError: if the weights are not one number per list, none below 0 and one above.
    """
    config = config or FusionConfig()
    given = np.asarray(weights, dtype=np.float64)
    every = given if dense is None else np.append(given, dense.weight)
    usable = bool((np.isfinite(every) & (every >= 0)).all()) and (not len(lists) or given.any())
    if len(given) != len(lists) or not usable:
        raise ConfigError(
            f"{len(lists)} lists need as many weights, none below 0 and one above, not {list(weights)}"
            + ("" if dense is None else f"; and dense scores, which find nothing by themselves, not {dense.weight}")
        )
    items, ranks, scores = _table([scored if weight else NOTHING for scored, weight in zip(lists, given, strict=True)])
    if dense is not None:
        given = every
        ranks, scores = _with_dense(items, ranks, scores, dense)
    normed = given / given.sum() if len(given) else given
    fused = RULES[config.rule](scores, normed, config.bonus / levels)
    best_rank = np.where(ranks == NO_RANK, np.iinfo(np.int64).max, ranks).min(axis=1, initial=np.iinfo(np.int64).max)
    order = np.lexsort((items, best_rank, -fused))
    return FusedItems(items[order], fused[order], ranks[order], scores[order])


def mean_scores(scores: NDArray[np.float64], weights: NDArray[np.float64], _bonus: float) -> NDArray[np.float64]:
    """The paper's rule, with a value for items that a list lacks.

        score(i) = sum_j w_j v_j(i) / sum_j w_j,   v_j(i) = s_j(i) if j in R_i, else min over list j of s_j

    A list holds the best beams of its search, so an item that it lacks scores at most what its last item does: the
    value is the highest that the item could have had. A list without items has nothing to say and takes no part.

    Args:
        scores: ``(n, J)``, NaN where a list does not hold the item.
        weights: ``(J,)``, summing to 1.
    """
    spoken = ~np.isnan(scores).all(axis=0)
    scores, weights = scores[:, spoken], weights[spoken]
    if not len(scores):
        return np.zeros(0)
    lowest = np.nanmin(scores, axis=0)
    fused: NDArray[np.float64] = np.where(np.isnan(scores), lowest, scores) @ (weights / weights.sum())
    return fused


def bonus_scores(scores: NDArray[np.float64], weights: NDArray[np.float64], bonus: float) -> NDArray[np.float64]:
    """The authors' released rule, for any number of lists.

        score(i) = sum_{j in R_i} w_j s_j(i) / sum_{j in R_i} w_j + (|R_i| - 1) b / L

    with b nats of sequence log-probability (5 there). An item in one list keeps its score, whatever the list's weight.
    Dense scores are a list that holds every item.

    Args:
        scores: ``(n, J)``, NaN where a list does not hold the item; every row has a number.
        weights: ``(J,)``.
        bonus: b / L, per code.
    """
    held = ~np.isnan(scores)
    weighted = np.where(held, scores, 0.0) @ weights
    fused: NDArray[np.float64] = weighted / (held @ weights) + (held.sum(axis=1) - 1) * bonus
    return fused


RULES: dict[Rule, Callable[[NDArray[np.float64], NDArray[np.float64], float], NDArray[np.float64]]] = {
    Rule.MEAN: mean_scores,
    Rule.BONUS: bonus_scores,
}


def _with_dense(
    items: NDArray[np.int64], ranks: NDArray[np.int64], scores: NDArray[np.float64], dense: DenseList
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ranks and scores with a column of dense ones."""
    found = np.asarray(dense.of(items), dtype=np.float64)
    places = np.empty(len(items), dtype=np.int64)
    places[np.argsort(-found, kind="stable")] = np.arange(1, len(items) + 1)
    return np.column_stack([ranks, places]), np.column_stack([scores, found])


def _table(lists: Sequence[ScoredItems]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Distinct items ``(n,)`` with their ranks ``(n, J)`` and scores ``(n, J)`` in each list."""
    held = [np.asarray(scored.items, dtype=np.int64) for scored in lists]
    items = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *held]))
    ranks = np.full((len(items), len(lists)), NO_RANK, dtype=np.int64)
    scores = np.full((len(items), len(lists)), np.nan)
    for column, scored in enumerate(lists):
        rows = np.searchsorted(items, held[column])
        ranks[rows, column] = np.arange(1, len(rows) + 1)
        scores[rows, column] = scored.scores
    return items, ranks, scores
