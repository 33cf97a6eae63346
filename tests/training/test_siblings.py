import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.semantic_ids import IdSpace
from model.trie import build_trie
from training.siblings import Siblings


@given(st.integers(1, 25), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_siblings_are_the_codes_that_items_have_after_the_same_prefix(
    items: int, levels: int, width: int, seed: int
) -> None:
    space = IdSpace(("text", "image"), levels, width)
    codes = np.random.default_rng(seed).integers(0, width, (2, items, levels)).astype(np.uint8)
    siblings = Siblings(build_trie(codes), space, codes, torch.device("cpu"))
    modality, wanted = torch.arange(2)[:, None].expand(2, items), torch.arange(items).expand(2, items)
    found = siblings.mask(modality, wanted)
    assert found.shape == (2, items, levels, width)
    for part, item, level in np.ndindex(2, items, levels):
        same = (codes[part, :, :level] == codes[part, item, :level]).all(axis=1)
        assert set(torch.nonzero(found[part, item, level]).flatten().tolist()) == set(codes[part, same, level].tolist())
