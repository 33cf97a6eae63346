"""Every list gets exactly its own edges, whatever the mask that it is lent was used for before."""

import gc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.allowed import allowed_edges
from model.edge_masks import KEPT, EdgeMasks
from model.trie import build_trie


class Borrower:
    """Somebody who needs a mask for a while."""


@settings(max_examples=150, deadline=None)
@given(
    items=st.integers(1, 30), codes=st.integers(1, 3), levels=st.integers(1, 4), modalities=st.integers(1, 3),
    seed=st.integers(0, 2**32), data=st.data(),
)  # fmt: skip
def test_one_list_after_the_other_and_several_at_once_get_their_own_edges(
    items: int, codes: int, levels: int, modalities: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    trie = build_trie(rng.integers(0, codes, (modalities, items, levels), dtype=np.uint8))
    masks, lent = EdgeMasks(trie), []
    for listed in data.draw(st.lists(st.sets(st.integers(0, items - 1)), max_size=6)):
        mask = np.isin(np.arange(items), list(listed))
        borrower = Borrower()
        edges = masks.lend(np.flatnonzero(mask), borrower)
        lent.append((borrower, edges, allowed_edges(trie, mask).tolist()))
        assert all(found.tolist() == expected for _, found, expected in lent)
        if data.draw(st.booleans()):
            del borrower, lent[0]


def test_a_mask_that_came_back_is_used_again_and_a_few_are_kept() -> None:
    trie = build_trie(np.random.default_rng(0).integers(0, 256, (1, 1_000, 4), dtype=np.uint8))
    masks, borrowers = EdgeMasks(trie), [Borrower() for _ in range(KEPT + 2)]
    first = {id(masks.lend(np.array([place]), borrower)) for place, borrower in enumerate(borrowers)}
    assert len(first) == KEPT + 2
    borrowers.clear()
    gc.collect()
    borrowers = [Borrower() for _ in range(KEPT + 2)]
    again = [masks.lend(np.array([place]), borrower) for place, borrower in enumerate(borrowers)]
    assert len(first & {id(edges) for edges in again}) >= KEPT
    assert all(edges.sum() == 5 for edges in again)
