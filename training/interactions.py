"""Who met which item when: one sequence of events per user, as flat arrays."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError
from model.string_table import StringColumn


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events of U users, E in all, each user's in time order.

    ``user_ids`` has U distinct strings; ``offsets`` int64 ``(U + 1,)`` delimits the users' events; ``items`` int32
    ``(E,)`` holds item indices; ``timestamps`` int64 ``(E,)`` is in the unit of the source (seconds, mostly).

    Raises:
        DataError: if the arrays do not fit together.
    """

    user_ids: list[str]
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    timestamps: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Checks that the arrays describe the same users and events."""
        users, events = len(self.user_ids), len(self.items)
        if len(self.offsets) != users + 1 or self.offsets[0] != 0 or self.offsets[-1] != events:
            raise DataError(f"offsets do not delimit the {events} events of {users} users; rerun the prepare stage")
        if len(self.timestamps) != events:
            raise DataError(f"{len(self.timestamps)} timestamps for {events} events; rerun the prepare stage")

    @property
    def users(self) -> int:
        """How many users there are, U."""
        return len(self.user_ids)

    @property
    def events(self) -> int:
        """How many events there are, E."""
        return len(self.items)

    def lengths(self) -> NDArray[np.int64]:
        """Events per user, int64 ``(U,)``."""
        return np.diff(self.offsets)

    def user_of_event(self) -> NDArray[np.int64]:
        """The user index of each event, int64 ``(E,)``."""
        return np.repeat(np.arange(self.users), self.lengths())

    def save(self, path: Path) -> None:
        """Writes an uncompressed npz without pickled objects."""
        users = StringColumn.build(self.user_ids)
        np.savez(
            path,
            user_bytes=users.blob,
            user_offsets=users.offsets,
            offsets=self.offsets,
            items=self.items,
            timestamps=self.timestamps,
        )

    @classmethod
    def load(cls, path: Path) -> "Interactions":
        """Reads what :meth:`save` wrote.

        Raises:
            DataError: if the file is missing, damaged or of another kind.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                users = StringColumn(arrays["user_bytes"], arrays["user_offsets"])
                user_ids = [users[row] for row in range(len(users))]
                return cls(user_ids, arrays["offsets"], arrays["items"], arrays["timestamps"])
        except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
            raise DataError(f"{path} does not hold interactions ({error}); rerun the prepare stage") from error
