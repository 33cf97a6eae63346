"""Folds the live log into a catalog, so that servers start from one catalog and read little behind it.

The same is done for a bundle that comes from a new training: whatever the log says after the number up to which its
training data reached is put into its catalog before it is published, in its own ID space. What arrives meanwhile is
behind the new catalog in the log, and every server that loads it does the rest.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from model.adoption import adopt
from model.bundle import Bundle
from model.catalog import Catalog, Item
from model.errors import BundleError, DataError
from model.item_encoder import ItemEncoder
from model.live_catalog import LiveCatalog
from model.live_log import LiveItem, LiveLog, read_all

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
        bundle: of the same ID space; None if there is none, and then every item must have codes there.
        live_log: what came after.
        after: up to which number the log is in ``base``, where the training data went further than its header says.
            Whether an item is available is no part of training data and is taken from the log in any case.

    Raises:
        LiveLogError: if the log does not answer.
        BundleError: if the bundle is of another ID space, or its encoders cannot be read; without a bundle, if an item
            has no codes, which would be lost behind the catalog's number.
        DataError: if the log ends before ``after``, or if every item is deleted: there is no such catalog.
    """
    if bundle is not None and bundle.manifest.space_hash != base.space_hash:
        raise BundleError(
            f"catalog {base.version} is of ID space {base.space_hash}, bundle {bundle.version} of "
            f"{bundle.manifest.space_hash}; publish the catalog together with its own bundle"
        )
    catalog = LiveCatalog.of(base)
    sequence, items = read_all(live_log, base.live_seq, base.space_hash)
    if after is not None:
        if after > sequence:
            raise DataError(
                f"no training data holds the live log up to {after}: it ends at {sequence}; name that or less"
            )
        items = [each for item in items if (each := _behind(after, item)) is not None]
    if sequence == base.live_seq:
        return Folded(base, 0, [])
    adopted = adopt(items, catalog, live_log, lambda: None if bundle is None else ItemEncoder.load(bundle))
    if bundle is None and adopted.left_out:
        raise BundleError(
            f"{len(adopted.left_out)} live items (the first is {adopted.left_out[0]!r}) have no codes in ID space "
            f"{base.space_hash} and no encoders to get them from; publish the bundle of that ID space too"
        )
    folded = build(catalog.apply(sequence, adopted.items))
    changes = sum(item.sequence > (after or 0) for item in items)
    details = {"items": len(folded), "changes": changes, "live_seq": sequence, "left_out": len(adopted.left_out)}
    log.info("the live log was folded into catalog %s: %s", folded.version, details)
    return Folded(folded, changes, adopted.left_out)


def _behind(after: int, item: LiveItem) -> LiveItem | None:
    """What of an item's state is in no training data that holds the log up to ``after``; None if there is nothing."""
    if item.sequence > after:
        return item
    return None if item.deleted else item._replace(metadata=None, codes=None)


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
