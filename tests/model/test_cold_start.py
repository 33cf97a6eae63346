"""Cold edges lead to untrained items only; the kernel spreads a code's share over the codes nearby."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cold_start import cold_edges, distance_kernel
from model.trie import build_trie


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    items=st.integers(1, 40),
    levels=st.integers(1, 4),
    codes=st.integers(1, 6),
    share=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
)
def test_an_edge_is_cold_if_every_item_below_it_is(
    seed: int, items: int, levels: int, codes: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    ids = random.integers(0, codes, (2, items, levels)).astype(np.uint8)
    trained = random.random(items) < share
    trie = build_trie(ids)
    below: list[set[int]] = [set() for _ in range(trie.first_leaf)]
    below += [set(trie.leaf_items(leaf).tolist()) for leaf in range(trie.leaves)]
    for node in reversed(range(trie.first_leaf)):
        for edge in range(trie.child_start[node], trie.child_start[node + 1]):
            below[node] |= below[edge + 1]
    expected = [not any(trained[item] for item in found) for found in below[1:]]
    assert cold_edges(trie, trained).tolist() == expected


def test_a_kernel_by_hand() -> None:
    """Codes at 0, 1 and 3: squared distances 1, 9 and 4, on average 14 / 3."""
    books = np.array([[[[0.0], [1.0], [3.0]]]])
    near, far, middle = (np.exp(-square / (0.5 * 14 / 3)) for square in (1.0, 9.0, 4.0))
    expected = [
        [0, near / (near + far), far / (near + far)],
        [near / (near + middle), 0, middle / (near + middle)],
        [far / (far + middle), middle / (far + middle), 0],
    ]
    assert distance_kernel(books, 0.5)[0, 0] == pytest.approx(np.array(expected), abs=1e-6)


def test_a_high_temperature_makes_all_other_codes_alike() -> None:
    books = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    assert distance_kernel(books, 1e9) == pytest.approx(np.broadcast_to((1 - np.eye(5)) / 4, (2, 3, 5, 5)), abs=1e-6)


@pytest.mark.parametrize("temperature", [1e-6, 1.0])
def test_rows_sum_to_one_even_where_codes_coincide(temperature: float) -> None:
    books = np.zeros((1, 2, 4, 3))
    books[0, 1] = np.random.default_rng(0).normal(size=(4, 3))
    kernel = distance_kernel(books, temperature)
    assert kernel.sum(-1) == pytest.approx(np.ones((1, 2, 4)), abs=1e-6)
    assert (kernel >= 0).all()


def test_a_single_code_has_no_neighbours_and_keeps_its_own() -> None:
    assert distance_kernel(np.ones((1, 1, 1, 2)), 0.1).tolist() == [[[[1.0]]]]
