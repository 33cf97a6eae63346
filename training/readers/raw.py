"""What every reader returns: items, events as columns in file order, and what was left out on the way."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.semantic_ids import IdSpace
from training.bad_rows import FileRows
from training.images import ImageSource
from training.items import Item


@dataclass(frozen=True, eq=False)
class Events:
    """E events in any order.

    ``users`` int32 ``(E,)`` indexes ``user_ids`` (which may name users without events), ``items`` int32 ``(E,)`` the
    catalog; ``timestamps`` int64 ``(E,)``.
    """

    user_ids: list[str]
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    timestamps: NDArray[np.int64]

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.users)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> "Events":
        """The chosen events: a mask ``(E,)``, or indices in the order wanted."""
        return Events(self.user_ids, self.users[chosen], self.items[chosen], self.timestamps[chosen])


class ImportedIds(NamedTuple):
    """Ready semantic IDs: ``codes`` uint8 ``(m, N, L)`` in the order of the space's modalities."""

    space: IdSpace
    codes: NDArray[np.uint8]


class RawData(NamedTuple):
    """A data set as its files tell it; ``files`` and ``filtered`` count what was left out, by file and by reason."""

    items: list[Item]
    events: Events
    files: dict[str, FileRows]
    filtered: dict[str, int]
    images: ImageSource | None = None
    imported: ImportedIds | None = None
