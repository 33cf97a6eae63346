"""Groups of items that are alike: those with a value of an attribute, or with the first codes of an ID in common."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.attributes import Kind, Value, attributes_of, kind_of, values_of
from model.live_catalog import LiveCatalog


class ValueGroup(NamedTuple):
    """The items that have a value of an attribute."""

    attribute: str
    kind: Kind
    value: Value


class NodeGroup(NamedTuple):
    """The items below a node of the trie."""

    modality: int
    node: int


Group = ValueGroup | NodeGroup


def members(catalog: LiveCatalog, group: Group) -> NDArray[np.int64]:
    """The items ``(n,)`` of a group, ascending; deleted ones may be among them.

    A node's items are looked up; those of a value take a comparison with every value of the attribute.
    """
    if isinstance(group, ValueGroup):
        return _with_value(catalog, group)
    low, high = catalog.trie.leaf_ranges(np.array([group.node]))
    slots = catalog.trie.leaf_start[np.concatenate([low, high])]
    found: NDArray[np.int64] = np.sort(catalog.trie.leaf_item[slots[0] : slots[1]]).astype(np.int64)
    return found


def _with_value(catalog: LiveCatalog, group: ValueGroup) -> NDArray[np.int64]:
    """The items of the base by its columns, and the changed and added ones that have the value now."""
    column = catalog.base.columns.column(group.attribute, group.kind)
    found = np.zeros(0, dtype=np.int32) if column is None else column.rows_of(group.value)
    changed = np.fromiter(catalog.upserted, dtype=np.int64, count=len(catalog.upserted))
    more = [item for item, metadata in catalog.upserted.items() if _has(metadata, group)]
    return np.union1d(found[~np.isin(found, changed)], np.array(more, dtype=np.int64))


def _has(metadata: Mapping[str, Any], group: ValueGroup) -> bool:
    values = values_of(attributes_of(metadata).get(group.attribute))
    return any((kind_of(value), value) == (group.kind, group.value) for value in values)
