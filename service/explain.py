"""Why an item was recommended: its place in each modality's list, and the history items that share a prefix with it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.live_catalog import LiveCatalog


class SharedPrefix(NamedTuple):
    """An item of the history whose semantic ID begins like the recommended item's.

    Attributes:
        item: its index.
        modality: whose ID.
        codes: the codes that both begin with; as many as the prefix is deep.
    """

    item: int
    modality: str
    codes: list[int]


def shared_prefixes(catalog: LiveCatalog, history: NDArray[np.int64], items: Sequence[int]) -> list[list[SharedPrefix]]:
    """The prefixes of at least one code that each of ``items`` shares with the items of a history.

    Args:
        catalog: where the semantic IDs stand.
        history: item indices ``(n,)``, oldest first; an item that comes again is named once.
        items: the recommended item indices.

    Returns:
        For each item its prefixes: the deepest first, then by modality, then the latest item of the history.
    """
    found: list[list[SharedPrefix]] = [[] for _ in items]
    latest = list(dict.fromkeys(history[::-1].tolist()))
    for modality, name in enumerate(catalog.space.modalities):
        own = catalog.codes(modality, np.array(items, dtype=np.int64))
        others = catalog.codes(modality, np.array(latest, dtype=np.int64))
        depths = np.cumprod(own[:, None] == others[None], axis=2).sum(axis=2)
        for row, column in np.argwhere(depths):
            codes = own[row, : depths[row, column]].tolist()
            found[row].append(SharedPrefix(latest[column], name, codes))
    return [sorted(prefixes, key=lambda prefix: -len(prefix.codes)) for prefixes in found]
