"""Live items that come to an ID space in which they have no codes yet: those that a retrained model never saw.

Their inputs are in the live log, so the new model's encoders and quantizer give them codes, claimed like those of any
new item: whoever comes first decides, and everybody else gets the same.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from model.item_encoder import ItemEncoder
from model.live_catalog import LiveCatalog
from model.live_log import LiveItem, LiveLog

log = logging.getLogger(__name__)

BATCH = 256
"""Items that are encoded together."""


class Adopted(NamedTuple):
    """Items with their codes, and the ids of those that could get none."""

    items: list[LiveItem]
    left_out: list[str]


def adopt(
    items: Sequence[LiveItem],
    catalog: LiveCatalog,
    live_log: LiveLog,
    load_encoder: Callable[[], ItemEncoder | None],
) -> Adopted:
    """Gives codes to those ``items`` that ``catalog`` would have to add and that have none in its ID space.

    The encoder is asked for only if there are such. Without one, or without inputs, they stay as they are; the catalog
    passes over them.
    """
    homeless = [
        item.item_id
        for item in items
        if item.codes is None and item.metadata is not None and catalog.find(item.item_id) is None
    ]
    codes: dict[str, bytes] = {}
    encoder = load_encoder() if homeless else None
    if encoder is not None:
        for start in range(0, len(homeless), BATCH):
            codes |= _claimed(homeless[start : start + BATCH], catalog, live_log, encoder)
    left_out = [item_id for item_id in homeless if item_id not in codes]
    if left_out:
        details = {"items": len(left_out), "first": left_out[:5], "space_hash": catalog.space_hash}
        log.warning("live items cannot join this model: it has no encoders, or they no inputs", extra=details)
    found = [item._replace(codes=codes[item.item_id]) if item.item_id in codes else item for item in items]
    return Adopted(found, left_out)


def _claimed(item_ids: list[str], catalog: LiveCatalog, live_log: LiveLog, encoder: ItemEncoder) -> dict[str, bytes]:
    """The codes of items whose inputs the log has."""
    inputs = dict(zip(item_ids, live_log.inputs(item_ids), strict=True))
    known = {item_id: each for item_id, each in inputs.items() if each is not None}
    if not known:
        return {}
    latents = encoder.encode(list(known.values()), strict=False).latents
    claims = [encoder.claim(item_id, latents[:, row], catalog) for row, item_id in enumerate(known)]
    return dict(zip(known, live_log.claim(claims), strict=True))
