"""The edges of a part of a trie take their values from the same prefixes of the whole."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.trie import Trie, build_trie
from model.trie_part import edges_of_part


def by_prefix(trie: Trie, values: list[bool]) -> dict[tuple[int, ...], bool]:
    """The value of every edge by the codes that lead to its end, the modality first."""
    paths: dict[int, tuple[int, ...]] = {0: ()}
    for node in range(trie.first_leaf):
        for edge in range(trie.child_start[node], trie.child_start[node + 1]):
            paths[edge + 1] = (*paths[node], int(trie.child_code[edge]))
    return {path: values[node - 1] for node, path in paths.items() if node}


@settings(max_examples=150, deadline=None)
@given(items=st.integers(1, 30), codes=st.integers(1, 3), seed=st.integers(0, 2**32), data=st.data())
def test_every_edge_of_a_part_has_the_value_of_its_prefix(
    items: int, codes: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, codes, (2, items, 3), dtype=np.uint8)
    whole = build_trie(ids)
    values = rng.random(len(whole.child_code)) < 0.5
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, items - 1), min_size=1))))
    part = build_trie(ids[:, chosen])
    part = replace(part, leaf_item=chosen[part.leaf_item].astype(np.int32))
    expected = by_prefix(whole, values.tolist())
    found = by_prefix(part, edges_of_part(part, whole, values).tolist())
    assert found == {path: expected[path] for path in found}
