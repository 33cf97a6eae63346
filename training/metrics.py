"""Ranking metrics for one target per user: hit rate and NDCG, their errors, and paired differences.

A rank is 0-based: how many items stand before the target; :data:`ABSENT` where the list does not hold it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ABSENT = -1
CUTOFFS = (1, 5, 10, 20)
_BATCH = 2_000_000


class Estimate(NamedTuple):
    """A mean over users and its standard error."""

    value: float
    error: float


class Difference(NamedTuple):
    """A paired difference of means, and the interval that holds 95 % of its bootstrap resamples."""

    value: float
    low: float
    high: float


def hits(ranks: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """1.0 where the target is among the first k, else 0.0; with one target HR@k is Recall@k."""
    return _within(ranks, k).astype(np.float64)


def gains(ranks: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """NDCG@k of one target, 1 / log2(rank + 2) among the first k, else 0 (the ideal list's gain is 1)."""
    return np.where(_within(ranks, k), 1 / np.log2(np.maximum(ranks, 0) + 2), 0.0)


def estimate(values: NDArray[np.float64]) -> Estimate:
    """The mean of one value per user and its standard error, sd / sqrt(n); zeros for no users, error 0 for one."""
    if len(values) == 0:
        return Estimate(0.0, 0.0)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Estimate(float(values.mean()), spread / len(values) ** 0.5)


def summarise(ranks: NDArray[np.integer], cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Estimate]:
    """``hr@k`` and ``ndcg@k`` for every cutoff, from one rank per user."""
    rates = {f"hr@{k}": estimate(hits(ranks, k)) for k in cutoffs}
    return rates | {f"ndcg@{k}": estimate(gains(ranks, k)) for k in cutoffs}


def paired_bootstrap(
    first: NDArray[np.float64], second: NDArray[np.float64], samples: int = 2000, seed: int = 0
) -> Difference:
    """The mean of ``first - second``, both ``(users,)`` in the same order, resampling users with replacement."""
    assert first.shape == second.shape, "a paired difference needs the same users on both sides"
    differences = first - second
    users = len(differences)
    if users == 0:
        return Difference(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    rows = max(1, _BATCH // users)
    batches = [min(rows, samples - start) for start in range(0, samples, rows)]
    means = [differences[rng.integers(users, size=(batch, users))].mean(axis=1) for batch in batches]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Difference(float(differences.mean()), float(low), float(high))


def _within(ranks: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    """Whether each target is among the first k."""
    within: NDArray[np.bool_] = (ranks != ABSENT) & (ranks < k)
    return within
