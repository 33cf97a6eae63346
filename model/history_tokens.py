"""The tokens by which a generator reads the items of a history."""

from collections.abc import Mapping
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from model.semantic_ids import IdSpace

Position = Literal["code", "item"]
"""What fills a position of the encoder: one code, or an item with its codes in all modalities."""


def as_position(name: str) -> Position:
    """The position that ``name`` names.

    Raises:
        ValueError: if it names none.
    """
    if name not in get_args(Position):
        raise ValueError(f"a position of the history holds one of {list(get_args(Position))}, not {name!r}")
    return cast("Position", name)


def tokens_per_item(space: IdSpace, position: Position) -> int:
    """How many tokens an item of a history has."""
    return space.levels * (len(space.modalities) if position == "item" else 1)


def history_tokens(
    space: IdSpace, position: Position, modality: int, codes: Mapping[int, NDArray[np.uint8]]
) -> NDArray[np.int64]:
    """The tokens of items, for a search in ``modality``.

    Args:
        space: the ID space.
        position: what fills a position; where it is a code, the history is read in the searched modality alone.
        modality: the searched one.
        codes: the items' codes ``(..., L)`` by modality: all of them, or the searched one's where a position is a code.

    Returns:
        ``(..., tokens per item)``.
    """
    if position == "code":
        return space.tokens(modality, codes[modality])
    return np.concatenate([space.tokens(each, codes[each]) for each in range(len(space.modalities))], axis=-1)
