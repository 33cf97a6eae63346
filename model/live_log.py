"""The live log: what became of items after the catalog was exported, in one order for all replicas.

Every change gets the next sequence number. The log keeps the latest state of each item (its inputs, whether it is
deleted or unavailable) and the codes that it was given in each ID space, which never change. A replica asks for what
changed after the number that it has seen, so one that was away, or that starts anew, ends where the others are.

**Codes are claimed once.** A writer offers leaves in the order in which the item would like them. In one atomic step
the log keeps the codes that the item has in this ID space, or takes the first offered leaf that no other item ever
took, and stores the change. A leaf stays taken when its item is deleted. Leaves that the exported catalog uses are
known to the writer, who does not offer them. Where everything offered is taken the writer offers more, and at last the
item shares the leaf that it would like best: nothing is lost.

**Writing twice changes nothing.** An upsert with the content that the item has already, like any other change that
changes nothing, answers with the sequence number of the change that did, and adds none.

The log knows neither encoders nor tries. Where it is kept (Redis, a file, memory) is an implementation's affair.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any, Literal, NamedTuple, Protocol

from model.item_inputs import ItemInputs

Mark = Literal["delete", "hide", "show"]
"""Deletes an item, makes it unavailable, or available again."""


class Standing(NamedTuple):
    """How an item stands in the writer's catalog: what holds while the log has not heard of it."""

    deleted: bool = False
    available: bool = True


class Leaves(NamedTuple):
    """The leaves of one modality that an item may get; a leaf is L bytes.

    Attributes:
        free: in the order of preference; read only as far as needed.
        shared: what it gets if all of those are taken.
    """

    free: Iterator[bytes]
    shared: bytes


class Claim:
    """What an item asks for in one ID space: leaves for each modality."""

    def __init__(self, item_id: str, space_hash: str, leaves: Sequence[Leaves]) -> None:
        """Reads nothing of ``leaves`` yet."""
        self.item_id = item_id
        self.space_hash = space_hash
        self.shared = [each.shared for each in leaves]
        self._free = [each.free for each in leaves]
        self._read: list[list[bytes]] = [[] for _ in leaves]

    def first(self, modality: int, wanted: int) -> list[bytes]:
        """The first ``wanted`` free leaves of a modality, or all if there are fewer."""
        read = self._read[modality]
        read += islice(self._free[modality], max(0, wanted - len(read)))
        return read[:wanted]

    def leaves(self, modality: int) -> Iterator[bytes]:
        """The free leaves of a modality, one after the other."""
        read = self._read[modality]
        for position in count():
            if position == len(read) and not self.first(modality, position + 1)[position:]:
                return
            yield read[position]


class Upsert(NamedTuple):
    """An item's new inputs, and where it would like to stand if it has no codes yet."""

    claim: Claim
    inputs: ItemInputs
    standing: Standing | None


class Written(NamedTuple):
    """What came of a change.

    Attributes:
        sequence: of the change that made the item what it is now.
        changed: False if there was nothing to change.
        codes: ``m * L`` bytes, modality after modality; empty where the change was not about codes.
    """

    sequence: int
    changed: bool
    codes: bytes = b""


class LiveItem(NamedTuple):
    """The latest state of an item.

    Attributes:
        item_id: its id.
        sequence: of its latest change.
        deleted: whether it is gone.
        available: whether it may be recommended.
        metadata: as a catalog keeps it; None if it was never upserted, or is deleted.
        codes: in the ID space that was asked for, ``m * L`` bytes; None if it has none there.
    """

    item_id: str
    sequence: int
    deleted: bool
    available: bool
    metadata: dict[str, Any] | None
    codes: bytes | None


class Changes(NamedTuple):
    """What changed.

    Attributes:
        sequence: the log as it was when it was asked, or later.
        items: the latest states, ascending by sequence number, of those that changed.
        more: whether there may be more to read at once.
        lost: whether the log ended before the number that was asked after, now or when it went on: it lost its data,
            and what the reader has may be more than there is.
    """

    sequence: int
    items: list[LiveItem]
    more: bool = False
    lost: bool = False


class LiveLog(Protocol):
    """A live log. Every method raises LiveLogError if the log does not answer, refuses or is damaged.

    ``floor`` is the sequence number of the writer's catalog: a log that lost its data goes on behind it.
    """

    def upsert(self, upserts: Sequence[Upsert], floor: int) -> list[Written]:
        """Stores changes, each on its own, in this order; returns when all are durable."""

    def mark(self, item_id: str, mark: Mark, standing: Standing | None, floor: int) -> Written | None:
        """Stores a change; None if neither log nor writer (``standing``) know the item, or it is deleted.

        Deleting a deleted item changes nothing.
        """

    def claim(self, claims: Sequence[Claim]) -> list[bytes]:
        """Gives items their codes in an ID space without changing anything else about them."""

    def changes(self, after: int, space_hash: str, wait: float = 0.0) -> Changes:
        """What changed after a sequence number; waits up to ``wait`` seconds for the first change."""

    def inputs(self, item_ids: Sequence[str]) -> list[ItemInputs | None]:
        """The latest inputs of items; None of those that have none."""

    def sequence(self) -> int:
        """The number of the latest change, 0 before the first."""

    def trim(self, below: int) -> None:
        """Frees what only readers need who have not seen ``below`` yet; such a reader still gets everything."""

    def close(self) -> None:
        """Frees connections."""


def read_all(log: LiveLog, after: int, space_hash: str) -> tuple[int, list[LiveItem]]:
    """Everything that changed after a sequence number, however much it is, and the number that it reaches."""
    latest: dict[str, LiveItem] = {}
    while True:
        changes = log.changes(after, space_hash)
        latest |= {item.item_id: item for item in changes.items}
        if not changes.more:
            return max(after, changes.sequence), list(latest.values())
        after = changes.sequence
