"""Few sizes in place of many, so that a GPU needs to capture few graphs: tries get room to grow, rows are padded.

The width of a search stays as it is, for a wider one finds other items. All else may be larger than needed: no edge
reaches the room behind a trie's arrays, no child fills a place that is added, and added rows are cut off what is found.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.exclusions import NO_EDGE
from model.semantic_ids import PAD
from model.slots import slot_names
from service.search_rows import SearchRows

LEAST_SLOTS = 16
"""Places for children, at least: one more child must not change sizes all the time."""


class TrieRoom:
    """The sizes of a trie's arrays, which grow in steps of an eighth to a quarter and never shrink."""

    def __init__(self, levels: int) -> None:
        """Begins with nothing, for tries of so many levels."""
        self._slots = set(slot_names(levels))
        self._sizes: dict[str, int] = {}

    def fill(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Arrays ``(n, ...)`` with room behind them; they are named as the search graph's inputs."""
        return {name: self._filled(name, array) for name, array in arrays.items()}

    def _filled(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """One array in the room that arrays of its name have."""
        is_slots = name in self._slots
        room = max(LEAST_SLOTS, _power(len(array))) if is_slots else _with_room(len(array))
        room = self._sizes[name] = max(room, self._sizes.get(name, 0))
        return np.arange(room) if is_slots else np.pad(array, (0, room - len(array)))


def pad_rows(rows: SearchRows, tokens_per_item: int, longest: int) -> SearchRows:
    """Rows of a size that others have, too; first come those that were given.

    Args:
        rows: what is searched.
        tokens_per_item: tokens of an item in a history.
        longest: items of the longest history.
    """
    items = rows.tokens.shape[1] // tokens_per_item
    wanted = max(items, min(_power(items), longest))
    dead = rows.dead_edges.shape[2]
    # Most requests exclude what their histories hold, and are to be of one size.
    most_dead = _power(max(dead, longest), of=4)
    return SearchRows(
        tokens=_more_rows(_wider(rows.tokens, (wanted - items) * tokens_per_item, PAD)),
        modality=_more_rows(rows.modality),
        dead_edges=_more_rows(_wider(rows.dead_edges, most_dead - dead, NO_EDGE)),
        beam=rows.beam,
        history=_more_rows(rows.histories),
    )


def _more_rows(array: NDArray[Any]) -> NDArray[Any]:
    """As many rows as a power of two; those behind the given ones are like the first."""
    added = _power(len(array)) - len(array)
    return np.concatenate([array, np.repeat(array[:1], added, axis=0)])


def _wider(array: NDArray[Any], added: int, fill: int) -> NDArray[Any]:
    """An array whose last axis is longer."""
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, added)], constant_values=fill)


def _power(size: int, of: int = 2) -> int:
    """The smallest power of two, or ``of`` a power of it, that is not below ``size``, which is at least 1."""
    bits = of.bit_length() - 1
    return 1 << bits * -(-(size - 1).bit_length() // bits)


def _with_room(size: int) -> int:
    """At least ``size``: four sizes lie between a power of two and the next."""
    step = 1 << max(0, size.bit_length() - 3)
    return -(-size // step) * step
