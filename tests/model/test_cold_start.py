"""Cold edges lead to untrained items only."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cold_start import cold_edges
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
