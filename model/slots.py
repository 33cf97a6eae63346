"""Places for the children of a node: as many at each level as any node of the catalog needs, where M would always do.

Prefixes of a few codes have few continuations, so that most of the search looks at a handful in place of M.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def fan_outs(child_start: NDArray[np.int32], levels: int) -> tuple[int, ...]:
    """For each level, the most children of the nodes whose children are its codes; at least 1.

    Args:
        child_start: ``(I + 1,)`` of :class:`model.trie.Trie`, whose nodes are numbered depth by depth.
        levels: L.
    """
    most, first, end = [], 1, int(child_start[1]) + 1
    for _ in range(levels):
        most.append(int(np.diff(child_start[first : end + 1]).max(initial=1)))
        first, end = int(child_start[first]) + 1, int(child_start[end]) + 1
    return tuple(most)


def slot_names(levels: int) -> list[str]:
    """The search graph's inputs for the slots of each level."""
    return [f"slots_{level}" for level in range(levels)]


def slot_inputs(fan_outs: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """What the search graph takes for nodes with so many children: ``(F,)`` for each level, 0 to F - 1."""
    return {name: np.arange(most) for name, most in zip(slot_names(len(fan_outs)), fan_outs, strict=True)}
