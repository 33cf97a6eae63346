from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from training.baselines import (
    BASELINES,
    Baseline,
    evaluate,
    item_knn,
    markov_window,
    popularity,
    popularity_order,
    target_ranks,
)
from training.interactions import Interactions
from training.metrics import ABSENT
from training.split import Part, Split

ITEMS = 6
# Training parts are [0, 1, 2], [0, 1], [1]: counts 2, 3, 1, 0, 0, 0.
SEQUENCES = [[0, 1, 2, 3, 4], [0, 1, 2, 5], [1, 4, 0]]


@pytest.fixture
def split() -> Split:
    lengths = [len(sequence) for sequence in SEQUENCES]
    return Split(
        Interactions(
            user_ids=["a", "b", "c"],
            offsets=np.concatenate(([0], np.cumsum(lengths))),
            items=np.concatenate(SEQUENCES).astype(np.int32),
            timestamps=np.arange(sum(lengths)),
        )
    )


def test_popularity_counts_training_events(split: Split) -> None:
    assert popularity(split, ITEMS).scores(split.users, "test").tolist() == [[2, 3, 1, 0, 0, 0]] * 3


def test_ties_rank_by_count_then_by_index() -> None:
    assert popularity_order(np.array([2, 3, 2, 0, 3])).tolist() == [2, 0, 3, 4, 1]


def test_ranks_with_and_without_seen_items(split: Split) -> None:
    model = popularity(split, ITEMS)
    assert target_ranks(model, split, ITEMS, "test", remove_seen=False).tolist() == [4, 5, 1]
    assert target_ranks(model, split, ITEMS, "test", remove_seen=True).tolist() == [0, 2, 0]


def test_a_seen_target_is_absent_where_seen_items_are_removed() -> None:
    repeat = Split(
        Interactions(["a"], np.array([0, 3]), np.array([1, 0, 1], dtype=np.int32), np.arange(3, dtype=np.int64))
    )
    model = popularity(repeat, 2)
    assert target_ranks(model, repeat, 2, "test", remove_seen=True).tolist() == [ABSENT]
    assert target_ranks(model, repeat, 2, "test", remove_seen=False).tolist() == [0]


def test_item_knn_is_the_cosine_of_user_sets(split: Split) -> None:
    weights = item_knn(split, ITEMS).weights.toarray()
    expected = np.zeros((ITEMS, ITEMS))
    expected[0, 1] = expected[1, 0] = 2 / np.sqrt(2 * 3)
    expected[0, 2] = expected[2, 0] = 1 / np.sqrt(2 * 1)
    expected[1, 2] = expected[2, 1] = 1 / np.sqrt(3 * 1)
    np.testing.assert_allclose(weights, expected)


def test_the_markov_window_decays_with_the_steps_between(split: Split) -> None:
    weights = markov_window(split, ITEMS, window=2, decay=0.5).weights.toarray()
    expected = np.zeros((ITEMS, ITEMS))
    expected[0, 1], expected[1, 2], expected[0, 2] = 2, 1, 0.5
    np.testing.assert_allclose(weights, expected)


def test_history_items_decay_with_their_age(split: Split) -> None:
    model = markov_window(split, ITEMS, window=2, decay=0.5)
    matrix = model.weights.toarray()
    histories = [sequence[:-1] for sequence in SEQUENCES]
    expected = [matrix[history[-1]] + 0.5 * matrix[history[-2]] for history in histories]
    np.testing.assert_allclose(model.scores(split.users, "test"), expected)


class Successor:
    """Knows that item n + 1 follows item n."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def scores(self, users: NDArray[np.integer], part: Part, /) -> NDArray[np.float64]:
        histories = self.split.histories(users, part, max_items=1)
        return np.eye(ITEMS)[(histories.items[:, 0] + 1) % ITEMS]


def test_any_scorer_can_be_evaluated_in_batches() -> None:
    sequences = [[0, 1, 2], [3, 4, 5], [2, 3, 4]]
    assert all(after == before + 1 for sequence in sequences for before, after in pairwise(sequence))
    split = Split(
        Interactions(["a", "b", "c"], np.arange(0, 10, 3), np.ravel(sequences).astype(np.int32), np.arange(9))
    )
    ranks = target_ranks(Successor(split), split, ITEMS, "test", remove_seen=False, batch=2)
    assert ranks.tolist() == [0, 0, 0]


@pytest.mark.parametrize("build", BASELINES.values(), ids=BASELINES.keys())
def test_every_baseline_evaluates_on_both_parts(split: Split, build: Callable[[Split, int], Baseline]) -> None:
    parts: tuple[Part, ...] = ("validation", "test")
    for part in parts:
        metrics = evaluate(build(split, ITEMS), split, ITEMS, part)
        assert metrics.seen_removed["hr@20"].value == metrics.seen_left_in["hr@20"].value == 1.0
