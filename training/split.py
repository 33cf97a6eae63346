"""The split by time: each user's last event is the test target, the one before validates, the rest trains.

With more than one test event the last few of a user are targets, each with the events before it as its history: the
event before them validates, and none of them trains.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from model.config import Config
from training.interactions import Interactions

Part = Literal["validation", "test"]
MIN_EVENTS = 3
NO_ITEM = -1


class SplitConfig(Config):
    """What is held out: the last ``test_events`` of each user, as far as one is left to train, and the one before."""

    test_events: int = Field(1, ge=1)


class Histories(NamedTuple):
    """B histories, oldest item first: ``items`` int32 ``(B, T)``, :data:`NO_ITEM` behind the end; ``lengths`` int64."""

    items: NDArray[np.int32]
    lengths: NDArray[np.int64]


class TrainingPairs(NamedTuple):
    """P training examples: the item at ``positions`` int64 ``(P,)`` of ``users`` int64 ``(P,)`` is the target."""

    users: NDArray[np.int64]
    positions: NDArray[np.int64]


class SeenItems(NamedTuple):
    """The items of B histories in full: row b is ``items[offsets[b]:offsets[b + 1]]``, int32, oldest first."""

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Split:
    """The split of ``interactions``; users with fewer than three events only train.

    Attributes:
        interactions: all events.
        test_events: how many of a user's last events are test targets; users with fewer than two more have fewer.
        back: which of them the part ``test`` looks at: 0 the last, 1 the one before, and so on.
    """

    interactions: Interactions
    test_events: int = 1
    back: int = 0

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """The users that evaluate, ascending, int64 ``(V,)``."""
        return np.flatnonzero(self._test_counts > self.back)

    @cached_property
    def _test_counts(self) -> NDArray[np.int64]:
        """How many test targets each user has, int64 ``(U,)``."""
        lengths = self.interactions.lengths()
        return np.where(lengths >= MIN_EVENTS, np.minimum(self.test_events, lengths - 2), 0)

    @cached_property
    def train_ends(self) -> NDArray[np.int64]:
        """Where each user's training events end among all events, int64 ``(U,)``."""
        counts = self._test_counts
        ends: NDArray[np.int64] = self.interactions.offsets[1:] - np.where(counts > 0, counts + 1, 0)
        return ends

    def ends(self, users: NDArray[np.integer], part: Part) -> NDArray[np.int64]:
        """Where the histories of evaluation users end among all events: the position of the part's target."""
        after = self._test_counts[users] if part == "validation" else self.back
        ends: NDArray[np.int64] = self.interactions.offsets[users + 1] - 1 - after
        return ends

    def targets(self, users: NDArray[np.integer], part: Part) -> NDArray[np.int32]:
        """The item to find for each of B evaluation users, int32 ``(B,)``."""
        return self.interactions.items[self.ends(users, part)]

    def histories(self, users: NDArray[np.integer], part: Part, max_items: int) -> Histories:
        """The last ``max_items`` items before the part's target; the test history ends with the validation target."""
        return self._windows(self.interactions.offsets[users], self.ends(users, part), max_items)

    def seen(self, users: NDArray[np.integer], part: Part) -> SeenItems:
        """All items before the part's target, for protocols that remove seen items."""
        starts, ends = self.interactions.offsets[users], self.ends(users, part)
        lengths = ends - starts
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        events = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return SeenItems(offsets, self.interactions.items[events])

    def training_pairs(self) -> TrainingPairs:
        """Every training event with at least one event before it, by user, then by position."""
        lengths = self.train_ends - self.interactions.offsets[:-1]
        counts = np.maximum(lengths - 1, 0)
        users = np.repeat(np.arange(len(counts)), counts)
        first = np.cumsum(counts) - counts
        return TrainingPairs(users, np.arange(len(users)) - first[users] + 1)

    def training_histories(self, pairs: TrainingPairs, max_items: int) -> Histories:
        """The last ``max_items`` items before each pair's target."""
        starts = self.interactions.offsets[pairs.users]
        return self._windows(starts, starts + pairs.positions, max_items)

    def training_targets(self, pairs: TrainingPairs) -> NDArray[np.int32]:
        """Each pair's target item, int32 ``(P,)``."""
        targets: NDArray[np.int32] = self.interactions.items[self.interactions.offsets[pairs.users] + pairs.positions]
        return targets

    def training_events(self) -> NDArray[np.bool_]:
        """Which events train, bool ``(E,)``."""
        return np.arange(self.interactions.events) < np.repeat(self.train_ends, self.interactions.lengths())

    def training_counts(self, items: int) -> NDArray[np.int64]:
        """How often each of N items occurs in training, int64 ``(N,)``: the order of ties everywhere."""
        return np.bincount(self.interactions.items[self.training_events()], minlength=items)

    def _windows(self, starts: NDArray[np.int64], ends: NDArray[np.int64], max_items: int) -> Histories:
        """The last ``max_items`` of the events from ``starts`` to before ``ends``."""
        lengths = np.minimum(ends - starts, max_items)
        steps = np.arange(max_items)
        inside = steps < lengths[:, None]
        events = np.where(inside, (ends - lengths)[:, None] + steps, 0)
        return Histories(np.where(inside, self.interactions.items[events], np.int32(NO_ITEM)), lengths)
