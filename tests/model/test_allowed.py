"""An edge is allowed exactly if an allowed item lies below it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.allowed import Allowed, allowed_edges
from model.trie import Trie, build_trie


def naive_edges(trie: Trie, items: set[int]) -> list[bool]:
    """Looks at every item below every node."""

    def leads(node: int) -> bool:
        if node >= trie.first_leaf:
            return bool(set(trie.leaf_items(node - trie.first_leaf).tolist()) & items)
        return any(leads(edge + 1) for edge in range(trie.child_start[node], trie.child_start[node + 1]))

    return [leads(edge + 1) for edge in range(len(trie.child_code))]


@settings(max_examples=200, deadline=None)
@given(
    items=st.integers(1, 30), codes=st.integers(1, 3), levels=st.integers(1, 4), modalities=st.integers(1, 3),
    seed=st.integers(0, 2**32), data=st.data(),
)  # fmt: skip
def test_allowed_edges_equal_a_look_at_every_node(
    items: int, codes: int, levels: int, modalities: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    trie = build_trie(rng.integers(0, codes, (modalities, items, levels), dtype=np.uint8))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=items, max_size=items)))
    expected = naive_edges(trie, set(np.flatnonzero(mask).tolist()))
    assert allowed_edges(trie, mask).tolist() == expected


def test_what_is_allowed_is_counted_and_weighed() -> None:
    trie = build_trie(np.zeros((2, 3, 2), dtype=np.uint8))
    allowed = Allowed.of(trie, np.array([True, False, True]))
    assert (allowed.total, allowed.nbytes) == (2, 3 + 6)
    assert allowed.edges.all()
