"""Which codes lead to an item of the catalog after the same prefix: what a softmax over the catalog ranges over."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.semantic_ids import IdSpace
from model.trie import Trie
from model.trie_walk import walk


class Siblings:
    """The codes beside each code of each item, looked up in the trie on the device."""

    def __init__(self, trie: Trie, space: IdSpace, codes: NDArray[np.uint8], device: torch.device) -> None:
        """Finds every item's way down the trie.

        Args:
            trie: of the codes.
            space: the ID space.
            codes: ``(m, N, L)``, the items' semantic IDs.
            device: where masks are made.
        """
        ways = [walk(trie, np.full(len(part), index), part).node[:-1].T for index, part in enumerate(codes)]
        self.parent = torch.from_numpy(np.stack(ways)).to(device)
        self.child_start = torch.from_numpy(np.array(trie.child_start)).long().to(device)
        self.child_code = torch.from_numpy(np.array(trie.child_code)).long().to(device)
        self.codes = space.codes

    def mask(self, modality: Tensor, items: Tensor) -> Tensor:
        """``(..., L, M)`` bool, the codes that may follow each prefix of ``items`` in ``modality``, both ``(...)``."""
        parent = self.parent[modality, items]
        start, end = self.child_start[parent], self.child_start[parent + 1]
        edges = start[..., None] + torch.arange(self.codes, device=items.device)
        exists = edges < end[..., None]
        codes = self.child_code[edges.clamp(max=len(self.child_code) - 1)].where(exists, self.codes)
        mask = torch.zeros(*parent.shape, self.codes + 1, dtype=torch.bool, device=items.device)
        return mask.scatter(-1, codes, torch.ones_like(exists))[..., : self.codes]
