"""The live catalog: a catalog on disk and what the live log says came after it.

Items keep their numbers: those of the catalog below are 0 to N - 1, new ones follow in the order in which they came. A
deleted item keeps its number and its codes, because histories name it, and leaves the trie. One object never changes;
:meth:`LiveCatalog.apply` makes another that shares what is the same.
"""

from bisect import bisect, bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.attribute_files import ColumnsBuilder
from model.attributes import AttributeColumns, Selection
from model.catalog import Catalog
from model.filters import Filter
from model.live_log import LiveItem, Standing
from model.radix import stable_order
from model.semantic_ids import IdSpace
from model.string_index import NO_ROW
from model.trie import Trie, build_trie
from model.trie_merge import delete_items, insert_items, number_items
from model.trie_walk import children_of


@dataclass(frozen=True, eq=False)
class LiveCatalog:
    """N items of the base and n that came later, in m modalities.

    Attributes:
        base: the catalog below.
        sequence: up to which number of the live log it is current.
        trie: the semantic IDs of all items that are not deleted.
        deleted: ``(N + n,)`` bool, items that are gone.
        available: ``(N + n,)`` bool, items that may be recommended, if they are not gone.
        added_ids: the ids of the n items.
        added_codes: ``(m, n, L)`` uint8, their codes.
        upserted: metadata of the items that were upserted, by item number.
        added_names: the ids of the n items in the order of their bytes, each with the item's number.
        rows: item numbers of the n items, by id.
        before: the serial number of the catalog that this one was made of by :meth:`apply`; -1 if of none.
        changed: ``(c,)`` items that differ from that one's in anything.
        serial: tells the live catalogs of a process apart; those of one version may number new items differently.
    """

    base: Catalog
    sequence: int
    trie: Trie
    deleted: NDArray[np.bool_]
    available: NDArray[np.bool_]
    added_ids: Sequence[str]
    added_codes: NDArray[np.uint8]
    upserted: Mapping[int, Mapping[str, Any]]
    rows: Mapping[str, int]
    added_names: Sequence[tuple[bytes, int]] = ()
    before: int = -1
    changed: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    serial: int = field(default_factory=count().__next__)

    @classmethod
    def of(cls, base: Catalog) -> "LiveCatalog":
        """The catalog as it is on disk."""
        deleted, available = np.zeros(len(base), dtype=np.bool_), np.ones(len(base), dtype=np.bool_)
        deleted[base.deleted] = True
        available[base.unavailable] = False
        nothing = np.zeros((len(base.space.modalities), 0, base.space.levels), dtype=np.uint8)
        return cls(base, base.live_seq, base.trie, deleted, available, (), nothing, {}, {})

    @property
    def version(self) -> str:
        """The base's version, and behind a plus the sequence number if the log went further."""
        return self.base.version if self.sequence == self.base.live_seq else f"{self.base.version}+{self.sequence}"

    @property
    def space(self) -> IdSpace:
        """The ID space of the codes."""
        return self.base.space

    @property
    def space_hash(self) -> str:
        """Which codebooks the codes come from."""
        return self.base.space_hash

    def __len__(self) -> int:
        """N + n, the number of items, with deleted ones."""
        return len(self.deleted)

    @property
    def live_items(self) -> int:
        """How many items were added or changed after the base."""
        return len(self.added_ids) + sum(item < len(self.base) for item in self.upserted)

    def find(self, item_id: str) -> int | None:
        """The number of an item, deleted or not; None for an id that was never heard of."""
        row = self.rows.get(item_id)
        return self.base.item_ids.find(item_id) if row is None else row

    def find_rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """The number of each item ``(n,)``, -1 of an id that was never heard of; all are searched for at once."""
        rows = self.base.item_ids.find_rows(item_ids)
        if self.rows:
            for place in np.flatnonzero(rows == NO_ROW).tolist():
                rows[place] = self.rows.get(item_ids[place], NO_ROW)
        return rows

    def find_many(self, item_ids: Sequence[str]) -> tuple[NDArray[np.int64], int]:
        """Numbers ``(n,)`` of the items that were heard of, in the order given, and how many were not."""
        rows = self.find_rows(item_ids)
        found = rows[rows != NO_ROW]
        return found, len(rows) - len(found)

    def item_id(self, item: int) -> str:
        """The id of an item."""
        return self.base.item_ids[item] if item < len(self.base) else self.added_ids[item - len(self.base)]

    def metadata(self, item: int) -> dict[str, Any]:
        """The metadata of an item, a copy; empty for a deleted one that the base does not have."""
        if (upserted := self.upserted.get(item)) is not None:
            return dict(upserted)
        return self.base.metadata(item) if item < len(self.base) else {}

    def codes(self, modality: int, items: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Codes ``(n, L)`` of items ``(n,)``."""
        added = items >= len(self.base)
        if not added.any():
            return np.take(self.base.codes[modality], items, axis=0)
        codes = np.empty((len(items), self.space.levels), dtype=np.uint8)
        codes[~added] = self.base.codes[modality, items[~added]]
        codes[added] = self.added_codes[modality, items[added] - len(self.base)]
        return codes

    def allowed_items(self, rule: Filter | None, items: NDArray[np.integer] | None = None) -> NDArray[np.bool_] | None:
        """Which items may be recommended under a filter; deleted ones never, unavailable ones if it says so.

        Args:
            rule: the filter; without one, all that are available.
            items: ``(n,)`` item numbers to ask for; all N + n items if not given.

        Returns:
            ``(n,)`` or ``(N + n,)`` bool; None if every item in the trie is allowed.
        """
        if rule is None and not self.hidden:
            return None
        available = self.available if items is None else self.available[items]
        standing = ~(self.deleted if items is None else self.deleted[items])
        if rule is None:
            return available & standing
        return self._satisfying(rule, items, available) & standing

    def _satisfying(
        self, rule: Filter, items: NDArray[np.integer] | None, available: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Which items a filter lets pass: those of the base by its columns, changed and added ones one by one."""
        mask = np.zeros(len(available), dtype=np.bool_)
        changed = np.fromiter(self.upserted, dtype=np.int64, count=len(self.upserted))
        if items is None:
            mask[: len(self.base)] = rule.mask(self.base.columns, available[: len(self.base)])
            places = changed
            numbers = changed
        else:
            old = items < len(self.base)
            mask[old] = rule.mask(Selection(self.base.columns, items[old]), available[old])
            places = np.flatnonzero(np.isin(items, changed))
            numbers = items[places].astype(np.int64)
        for place, number in zip(places.tolist(), numbers.tolist(), strict=True):
            mask[place] = rule.matches(self.upserted[number], bool(available[place]))
        return mask

    @cached_property
    def changed_columns(self) -> AttributeColumns:
        """The attributes of the items that were upserted, which the base's columns do not know."""
        columns = ColumnsBuilder()
        for metadata in self.upserted.values():
            columns.add(metadata)
        return columns.build()

    def work_out(self) -> None:
        """Works out what requests need of the catalog as a whole, or the first of them would have to wait for it."""
        _ = self.hidden, self.unavailable, self.has_new_items, self.popular, self.base.events

    @cached_property
    def hidden(self) -> int:
        """How many items are unavailable, deleted or not."""
        return len(self) - int(np.count_nonzero(self.available))

    @cached_property
    def unavailable(self) -> int:
        """How many items are there and unavailable."""
        return int(np.count_nonzero(~(self.available | self.deleted)))

    @property
    def popularity(self) -> NDArray[np.int32]:
        """``(N + n,)`` how often each item occurs in training: new ones never. A copy, made anew each time."""
        return np.concatenate([self.base.popularity, np.zeros(len(self.added_ids), dtype=np.int32)])

    def popularity_of(self, items: NDArray[np.integer]) -> NDArray[np.int32]:
        """How often each of ``items`` ``(n,)`` occurs in training."""
        counts = np.zeros(len(items), dtype=np.int32)
        old = items < len(self.base)
        counts[old] = self.base.popularity[items[old]]
        return counts

    @cached_property
    def trained(self) -> NDArray[np.bool_]:
        """``(N + n,)`` which items occur in training; the others are new to the generator."""
        return np.concatenate([self.base.popularity > 0, np.zeros(len(self.added_ids), dtype=np.bool_)])

    @cached_property
    def has_new_items(self) -> bool:
        """Whether an item that is new to the generator is in the trie."""
        return bool((~self.trained & ~self.deleted).any())

    @cached_property
    def popular(self) -> tuple[NDArray[np.int32], ...]:
        """All items in parts, the most popular first, equals by id, new ones last by id.

        Deleted ones may be among them. The base's order is not copied, but cut where items stand that are back after
        they were deleted.
        """
        order = self.base.popular
        back = sorted(self.base.deleted[~self.deleted[self.base.deleted]].tolist(), key=self.rank)
        cuts = [bisect(order, self.rank(item), key=lambda other: self.rank(int(other))) for item in back]
        parts: list[NDArray[np.int32]] = []
        for item, start, end in zip(back, [0, *cuts], cuts, strict=False):
            parts += [order[start:end], np.array([item], dtype=np.int32)]
        added = np.array([item for _, item in self.added_names], dtype=np.int32)
        return *parts, order[cuts[-1] if cuts else 0 :], added

    @cached_property
    def retired(self) -> Trie | None:
        """The semantic IDs of deleted items, which nobody else may get; None if there are none."""
        gone = np.flatnonzero(self.deleted)
        if not len(gone):
            return None
        return build_trie(np.stack([self.codes(modality, gone) for modality in range(len(self.space.modalities))]))

    def taken_under(self, modality: int, prefix: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which last codes ``(M,)`` are taken under a prefix of L - 1 codes, those of deleted items included."""
        taken = np.zeros(self.space.codes, dtype=np.bool_)
        for trie in (self.trie, self.retired):
            if trie is not None:
                taken[children_of(trie, modality, prefix)] = True
        return taken

    def standing(self, item_id: str) -> Standing | None:
        """How an item stands, for the log; None for an id that was never heard of."""
        item = self.find(item_id)
        return None if item is None else Standing(bool(self.deleted[item]), bool(self.available[item]))

    def apply(self, sequence: int, items: Iterable[LiveItem]) -> "LiveCatalog":
        """The catalog after changes, all of them at once.

        An item that is new and has no codes is passed over: it is of another ID space, or was deleted before it had
        any. Items of the base keep the base's codes.
        """
        draft = _Draft(self)
        for item in items:
            draft.change(item)
        return draft.finish(sequence)

    def by_rank(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Items ``(n,)`` in the order of :meth:`rank`."""
        added = sorted(items[items >= len(self.base)].tolist(), key=self.rank)
        told = items[items < len(self.base)]
        told = told[stable_order(self.base.rank[told].view(np.uint32))]
        return np.insert(told, [bisect_left(told, self.rank(item), key=self.rank) for item in added], added)

    def rank(self, item: int) -> tuple[int, bytes]:
        """The order of items on one leaf: by training count, then id."""
        count = int(self.base.popularity[item]) if item < len(self.base) else 0
        return -count, self.item_id(item).encode()


class _Draft:
    """A live catalog in the making."""

    def __init__(self, before: LiveCatalog) -> None:
        self._before = before
        self._rows, self._ids, self._upserted = dict(before.rows), list(before.added_ids), dict(before.upserted)
        self._names: list[tuple[bytes, int]] = []
        self._codes: list[NDArray[np.uint8]] = []
        self._deleted: dict[int, bool] = {}
        self._available: dict[int, bool] = {}

    def change(self, item: LiveItem) -> None:
        """Notes the latest state of an item."""
        row = self._rows.get(item.item_id)
        row = self._before.find(item.item_id) if row is None else row
        if row is None:
            if item.codes is None:
                return
            row = len(self._before.base) + len(self._ids)
            self._rows[item.item_id] = row
            self._ids.append(item.item_id)
            self._names.append((item.item_id.encode(), row))
            space = self._before.space
            codes = np.frombuffer(item.codes, dtype=np.uint8)
            self._codes.append(codes.reshape(len(space.modalities), space.levels))
        self._deleted[row], self._available[row] = item.deleted, item.available
        if item.metadata is not None:
            self._upserted[row] = item.metadata
        else:
            self._upserted.pop(row, None)

    def finish(self, sequence: int) -> LiveCatalog:
        """Brings the arrays up to date."""
        before = self._before
        more = len(self._codes)
        deleted = np.concatenate([before.deleted, np.ones(more, dtype=np.bool_)])  # until they are in the trie
        leaving = [row for row, gone in self._deleted.items() if gone and not deleted[row]]
        joining = [row for row, gone in self._deleted.items() if deleted[row] and not gone]
        deleted[list(self._deleted)] = list(self._deleted.values())
        available = np.concatenate([before.available, np.ones(more, dtype=np.bool_)])
        available[list(self._available)] = list(self._available.values())
        added = np.concatenate([before.added_codes, np.stack(self._codes, axis=1)], axis=1) if more else None
        after = LiveCatalog(
            base=before.base,
            sequence=sequence,
            trie=before.trie,
            deleted=deleted,
            available=available,
            added_ids=self._ids,
            added_codes=before.added_codes if added is None else added,
            upserted=self._upserted,
            rows=self._rows,
            added_names=sorted([*before.added_names, *self._names]) if more else before.added_names,
            before=before.serial,
            changed=np.array(list(self._deleted), dtype=np.int64),
        )
        return _with_trie(after, leaving, joining) if leaving or joining or more else after


def _with_trie(catalog: LiveCatalog, leaving: list[int], joining: list[int]) -> LiveCatalog:
    """The catalog with a trie that some items have left and some have joined."""
    trie, size = catalog.trie, len(catalog)
    if not leaving and not joining:
        trie = number_items(trie, size)
    if leaving:
        trie = delete_items(trie, leaving, _stacked(catalog, leaving), size)
    if joining:
        trie = insert_items(trie, joining, _stacked(catalog, joining), catalog.rank, size)
    return replace(catalog, trie=trie)


def _stacked(catalog: LiveCatalog, items: list[int]) -> NDArray[np.uint8]:
    """Codes ``(m, n, L)`` of items (n)."""
    numbers = np.array(items)
    return np.stack([catalog.codes(modality, numbers) for modality in range(len(catalog.space.modalities))])
