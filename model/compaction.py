"""Folds the live log into a catalog, so that servers start from one catalog and read little behind it.

The same is done for a bundle that comes from a new training: whatever the log says after the number up to which its
training data reached is put into its catalog before it is published, in its own ID space. What arrives meanwhile is
behind the new catalog in the log, and every server that loads it does the rest.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from model.adoption import adopt
from model.bundle import Bundle
from model.catalog import Catalog, Item
from model.errors import DataError
from model.item_encoder import ItemEncoder
from model.live_catalog import LiveCatalog
from model.live_log import LiveLog, read_all

log = logging.getLogger(__name__)


class Folded(NamedTuple):
    """A catalog with the log in it.

    Attributes:
        catalog: the new one; the old one if the log says nothing more.
        changes: how many items changed.
        left_out: ids of items that could get no codes in this ID space.
    """

    catalog: Catalog
    changes: int
    left_out: list[str]


def fold(base: Catalog, bundle: Bundle | None, live_log: LiveLog, after: int | None = None) -> Folded:
    """The catalog that holds ``base`` and what the log says came after it.

    Items keep their numbers and their codes; new ones follow, with the codes that they claimed in the catalog's ID
    space, and those that have none there get them from the bundle's encoders. Deleted ones keep their codes.

    Args:
        base: the catalog.
        bundle: of the same ID space; without one, items that have no codes in it are left out.
        live_log: what came after.
        after: up to which number the log is in ``base``, where the training data went further than its header says.

    Raises:
        LiveLogError: if the log does not answer.
        BundleError: if the bundle's encoders cannot be read.
        DataError: if every item is deleted: there is no such catalog.
    """
    catalog = LiveCatalog.of(base if after is None else replace(base, live_seq=after))
    sequence, items = read_all(live_log, catalog.sequence, catalog.space_hash)
    if sequence == base.live_seq:
        return Folded(base, 0, [])
    adopted = adopt(items, catalog, live_log, lambda: None if bundle is None else ItemEncoder.load(bundle))
    folded = build(catalog.apply(sequence, adopted.items))
    details = {"items": len(folded), "changes": len(items), "live_seq": sequence, "left_out": len(adopted.left_out)}
    log.info("the live log was folded into catalog %s: %s", folded.version, details)
    return Folded(folded, len(items), adopted.left_out)


def build(live: LiveCatalog) -> Catalog:
    """A live catalog as one that can be saved.

    Raises:
        DataError: if every item is deleted.
    """
    if live.deleted.all():
        raise DataError(f"all {len(live)} items of catalog {live.version} are deleted; it cannot be saved")
    return Catalog.build(
        live.space,
        np.concatenate([live.base.codes, live.added_codes], axis=1),
        _items(live),
        live.popularity,
        live.space_hash,
        deleted=np.flatnonzero(live.deleted),
        unavailable=np.flatnonzero(~live.available),
        live_seq=live.sequence,
    )


def _items(live: LiveCatalog) -> Iterator[Item]:
    for item in range(len(live)):
        yield live.item_id(item), live.metadata(item)
