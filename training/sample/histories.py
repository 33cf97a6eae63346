"""Histories: what each user bought, in order, drawn step by step from the true model."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.sample.streams import Stream, generator
from training.sample.tastes import TasteModel

SHORTEST, LONGEST = 5, 40
MEAN_EXTRA = 8.3
EXTRA_SHAPE = 1.6
YEAR_START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
YEAR_SECONDS = 365 * 24 * 3600
NEUTRAL_RATING = 3.2
RATING_NOISE = 0.7


@dataclass(frozen=True)
class Histories:
    """The E purchases of U users; user u's, oldest first, are ``items[offsets[u]:offsets[u + 1]]``.

    Args:
        offsets: (U + 1,) int64.
        items: (E,) int64 item indices; no user buys an item twice.
        timestamps: (E,) int64, seconds since 1970, strictly ascending within a user.
        ratings: (E,) int64, 1 to 5.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    ratings: NDArray[np.int64]

    @property
    def owners(self) -> NDArray[np.int64]:
        """(E,) int64: the user of each purchase."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def draw_histories(model: TasteModel, seed: int) -> Histories:
    """Draws a history of 5 to 40 purchases for every user of the model."""
    lengths = _draw_lengths(model.users, min(LONGEST, model.items), generator(seed, Stream.LENGTH))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = _draw_items(model, lengths, offsets, generator(seed, Stream.HISTORY))
    owners = np.repeat(np.arange(model.users), lengths)
    return Histories(
        offsets=offsets,
        items=items,
        timestamps=_draw_timestamps(offsets, generator(seed, Stream.TIME)),
        ratings=_draw_ratings(model, owners, items, generator(seed, Stream.RATING)),
    )


def _draw_lengths(users: int, longest: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(U,): many short histories and a few long ones, 13 purchases on average."""
    extra = rng.gamma(EXTRA_SHAPE, MEAN_EXTRA / EXTRA_SHAPE, users)
    return np.clip(np.rint(SHORTEST + extra), SHORTEST, longest).astype(np.int64)


def _draw_items(
    model: TasteModel, lengths: NDArray[np.int64], offsets: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """(E,): every user's next purchase at once, as long as anyone still buys."""
    items = np.zeros(offsets[-1], dtype=np.int64)
    seen = np.zeros((model.users, model.items), dtype=np.bool_)
    last = np.full(model.users, -1, dtype=np.int64)
    for step in range(int(lengths.max())):
        buyers = np.flatnonzero(lengths > step)
        chosen = _choose(model.log_probabilities(buyers, last[buyers], seen[buyers]), rng)
        items[offsets[buyers] + step] = chosen
        seen[buyers, chosen] = True
        last[buyers] = chosen
    return items


def _choose(log_probabilities: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(B,): one item per row, drawn by inverting the cumulative distribution; an item of probability 0 never comes."""
    cumulative = np.cumsum(np.exp(log_probabilities), axis=1)
    draws = rng.random(len(cumulative)) * cumulative[:, -1]
    return np.asarray((cumulative <= draws[:, None]).sum(axis=1), dtype=np.int64)


def _draw_timestamps(offsets: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(E,): a user joins some time in the year's first half and buys at random times from then on."""
    timestamps = np.zeros(offsets[-1], dtype=np.int64)
    for begin, end in pairwise(offsets):
        joined = rng.uniform(0.0, 0.5)
        moments = np.sort(rng.uniform(joined, 1.0, end - begin)) * (YEAR_SECONDS - LONGEST)
        # Counting up by a second keeps two purchases from sharing one.
        timestamps[begin:end] = YEAR_START + moments.astype(np.int64) + np.arange(end - begin)
    return timestamps


def _draw_ratings(
    model: TasteModel, owners: NDArray[np.int64], items: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """(E,): stars that rise with how much the user likes the item."""
    liking = model.appeal(np.arange(model.users))[owners, items]
    stars = NEUTRAL_RATING + liking / 2 + rng.normal(0.0, RATING_NOISE, len(items))
    return np.clip(np.rint(stars), 1, 5).astype(np.int64)
