"""The rules of a live log without a place to keep it: what each change makes of the states, one at a time."""

from collections.abc import Iterator, Sequence

from model.config import Config
from model.item_inputs import ItemInputs
from model.live_log import Claim, LiveItem, Mark, Standing, Upsert, Written

DELETED = "-"


class Record(Config):
    """An item's state after a change, which is all that a reader needs of it.

    Attributes:
        item: its id.
        sequence: of its latest change.
        digest: of its inputs; ``-`` if it is deleted.
        deleted: whether it is gone.
        available: whether it may be recommended.
        inputs: the latest; None if it was never upserted, or is deleted.
        codes: by ID space, one leaf for each modality, in hexadecimal.
    """

    item: str
    sequence: int
    digest: str
    deleted: bool
    available: bool
    inputs: ItemInputs | None
    codes: dict[str, tuple[str, ...]]


class Book:
    """The latest records, and who holds which leaf."""

    def __init__(self) -> None:
        """Starts empty."""
        self.sequence = 0
        self.records: dict[str, Record] = {}
        self._holders: dict[tuple[str, int, bytes], str] = {}

    def upsert(self, upsert: Upsert, floor: int) -> tuple[Written, Record | None]:
        """What an upsert does, and the record to :meth:`keep`; None if it changes nothing."""
        claim, digest = upsert.claim, upsert.inputs.digest()
        before = self._record(claim.item_id, upsert.standing or Standing())
        leaves = self._leaves(before, claim)
        if claim.space_hash in before.codes and before.digest == digest:
            return Written(before.sequence, False, b"".join(leaves)), None
        record = before.model_copy(
            update={
                "sequence": max(self.sequence, floor) + 1,
                "digest": digest,
                "deleted": False,
                "available": before.available or before.deleted,
                "inputs": upsert.inputs,
                "codes": _with_codes(before, claim, leaves),
            }
        )
        return Written(record.sequence, True, b"".join(leaves)), record

    def mark(self, item_id: str, mark: Mark, standing: Standing | None, floor: int) -> tuple[Written, Record] | None:
        """What a mark does; None for an item that nobody knows, or that is deleted."""
        if standing is None and not self._has_heard_of(item_id):
            return None
        before = self._record(item_id, standing or Standing())
        if before.deleted and mark != "delete":
            return None
        update: dict[str, object] = {"available": mark == "show"}
        if mark == "delete":
            update = {"deleted": True, "available": True, "digest": DELETED, "inputs": None}
        after = before.model_copy(update=update)
        if (after.deleted, after.available) == (before.deleted, before.available):
            return Written(before.sequence, False), before
        after = after.model_copy(update={"sequence": max(self.sequence, floor) + 1})
        return Written(after.sequence, True), after

    def claim(self, claim: Claim) -> tuple[bytes, Record | None]:
        """The codes that an item gets, and its record if they are new."""
        before = self._record(claim.item_id, Standing())
        leaves = self._leaves(before, claim)
        if claim.space_hash in before.codes:
            return b"".join(leaves), None
        return b"".join(leaves), before.model_copy(update={"codes": _with_codes(before, claim, leaves)})

    def keep(self, record: Record) -> None:
        """Makes a record the latest of its item; records come in the order in which they were made."""
        known = self.records.get(record.item)
        if known is not None and known.sequence != record.sequence:
            del self.records[record.item]  # so that it stands last: records are in the order of their numbers
        self.records[record.item] = record
        self.sequence = max(self.sequence, record.sequence)
        for space_hash, leaves in record.codes.items():
            for modality, leaf in enumerate(leaves):
                self._holders.setdefault((space_hash, modality, bytes.fromhex(leaf)), record.item)

    def inputs(self, item_ids: Sequence[str]) -> list[ItemInputs | None]:
        """The latest inputs of items."""
        return [record.inputs if (record := self.records.get(item_id)) else None for item_id in item_ids]

    def after(self, sequence: int, space_hash: str) -> list[LiveItem]:
        """The states that changed after a number, ascending."""
        return list(self._after(sequence, space_hash))[::-1]

    def _after(self, sequence: int, space_hash: str) -> Iterator[LiveItem]:
        for record in reversed(self.records.values()):
            if not record.sequence:
                continue
            if record.sequence <= sequence:
                return
            leaves = record.codes.get(space_hash)
            yield LiveItem(
                item_id=record.item,
                sequence=record.sequence,
                deleted=record.deleted,
                available=record.available,
                metadata=None if record.inputs is None else record.inputs.metadata(),
                codes=None if leaves is None else bytes.fromhex("".join(leaves)),
            )

    def _record(self, item_id: str, standing: Standing) -> Record:
        """The latest record of an item, or what stands for one that the book has not heard of."""
        known = self.records.get(item_id)
        if known is not None and known.sequence:
            return known
        return Record(
            item=item_id,
            sequence=0,
            digest=DELETED,
            deleted=standing.deleted,
            available=standing.available,
            inputs=None,
            codes={} if known is None else known.codes,
        )

    def _has_heard_of(self, item_id: str) -> bool:
        """Whether an item ever changed; one that only claimed codes has the number 0."""
        known = self.records.get(item_id)
        return known is not None and known.sequence > 0

    def _leaves(self, record: Record, claim: Claim) -> list[bytes]:
        """The leaf that the item has or gets in each modality."""
        if (known := record.codes.get(claim.space_hash)) is not None:
            return [bytes.fromhex(leaf) for leaf in known]
        return [self._leaf(claim, modality) for modality in range(len(claim.shared))]

    def _leaf(self, claim: Claim, modality: int) -> bytes:
        """The first leaf on offer that is free or the item's own, else the one to share."""
        for leaf in claim.leaves(modality):
            if self._holders.get((claim.space_hash, modality, leaf), claim.item_id) == claim.item_id:
                return leaf
        return claim.shared[modality]


def _with_codes(record: Record, claim: Claim, leaves: list[bytes]) -> dict[str, tuple[str, ...]]:
    return record.codes | {claim.space_hash: tuple(leaf.hex() for leaf in leaves)}
