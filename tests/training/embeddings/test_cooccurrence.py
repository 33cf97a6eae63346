"""Collaborative embeddings: pair counts against a naive count, and neighbours in histories as neighbours in space."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from model.encoders.given import GivenEncoder
from model.errors import DataError
from tests.toys import interactions_of
from training.embeddings.cooccurrence import CooccurrenceSource, embed_cooccurrence, pair_counts, positive_information
from training.embeddings.rows import Embedded
from training.embeddings.sources import Inputs
from training.items import Item
from training.split import Split

ITEMS = 7
GROUPS = (range(10), range(10, 20))

histories = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=9), min_size=1, max_size=5)


def embed(inputs: Inputs, sequences: list[list[int]], items: int, **settings: object) -> Embedded:
    """The embeddings of ``items`` items, of which users met those of the sequences."""
    made = replace(
        inputs,
        items=[Item(id=str(item)) for item in range(items)],
        read_split=lambda: Split(interactions_of(sequences)),
    )
    return embed_cooccurrence(CooccurrenceSource.model_validate(settings), made)


@given(histories, st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_pairs_are_counted_among_training_events_of_one_user(sequences: list[list[int]], window: int) -> None:
    expected: defaultdict[tuple[int, int], float] = defaultdict(float)
    for sequence in sequences:
        trained = sequence[:-2] if len(sequence) >= 3 else sequence
        for place, left in enumerate(trained):
            for distance, right in enumerate(trained[place + 1 : place + 1 + window]):
                if left != right:
                    expected[left, right] += 1 - distance / window
                    expected[right, left] += 1 - distance / window
    counts = pair_counts(Split(interactions_of(sequences)), ITEMS, window).toarray()
    wanted = [[expected[left, right] for right in range(ITEMS)] for left in range(ITEMS)]
    np.testing.assert_allclose(counts, wanted, atol=1e-12)


def test_positive_information_is_the_formula() -> None:
    counts = csr_array(np.array([[0.0, 3.0, 1.0], [3.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    found = positive_information(counts, 0.5).toarray()
    contexts = np.sqrt([4.0, 3.0, 1.0])
    expected = np.zeros((3, 3))
    for row, column, count in ((0, 1, 3.0), (1, 0, 3.0), (0, 2, 1.0), (2, 0, 1.0)):
        expected[row, column] = max(0.0, np.log(count * contexts.sum() / (counts.sum(axis=1)[row] * contexts[column])))
    assert 0 < np.count_nonzero(expected) <= 4
    np.testing.assert_allclose(found, expected)


def tastes() -> list[list[int]]:
    """Users who walk about in one of two groups of ten items."""
    rng = np.random.default_rng(0)
    return [rng.permutation(GROUPS[user % 2])[:8].tolist() for user in range(60)]


def test_items_of_the_same_users_are_near_and_others_far(inputs: Callable[[str], Inputs]) -> None:
    embedded = embed(inputs("near"), tastes(), 20, dim=8)
    assert embedded.rows.values.shape == (20, 8)
    assert embedded.rows.values.dtype == np.float32
    alike = embedded.rows.values @ embedded.rows.values.T
    for inside, outside in (GROUPS, GROUPS[::-1]):
        assert alike[np.ix_(inside, inside)].mean() > 0.3
        assert abs(alike[np.ix_(inside, outside)].mean()) < 0.1


def test_an_item_that_nobody_met_in_training_has_none(inputs: Callable[[str], Inputs]) -> None:
    held_out = [*tastes(), [0, 1, 20, 21]]  # the last two events are held out
    embedded = embed(inputs("held-out"), held_out, 22, dim=4)
    assert embedded.present.tolist() == [True] * 20 + [False] * 2
    lengths = np.linalg.norm(embedded.rows.values, axis=1)
    np.testing.assert_allclose(lengths, [1.0] * 20 + [0.0] * 2, rtol=1e-5)


def test_equal_settings_give_equal_numbers(inputs: Callable[[str], Inputs]) -> None:
    first, second = (embed(inputs(name), tastes(), 20, dim=5).rows.values for name in ("one", "two"))
    np.testing.assert_array_equal(first, second)


def test_new_items_are_told_to_leave_it_out(inputs: Callable[[str], Inputs]) -> None:
    encoder = embed(inputs("encoder"), tastes(), 20, dim=4).encoder
    assert isinstance(encoder, GivenEncoder)
    with pytest.raises(DataError, match="leave it out"):
        encoder.accept(np.zeros((1, 3), dtype=np.float32))


def test_events_without_any_pair_are_refused_with_the_remedy(inputs: Callable[[str], Inputs]) -> None:
    with pytest.raises(DataError, match="wider window"):
        embed(inputs("none"), [[0], [1]], 3)
