"""What a prepared data set is like: counts, history lengths, shares, what was left out, and a fingerprint."""

import hashlib

import numpy as np

from model.config import Config
from training.bad_rows import FileRows
from training.images import ImageSource
from training.interactions import Interactions
from training.items import Item, item_line
from training.readers.raw import ImportedIds, RawData
from training.split import MIN_EVENTS

QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99, "max": 1.0}


class DataReport(Config):
    """Shares are of all items; ``sparsity`` is 1 - interactions / (users x items); times are in the source's unit.

    ``evaluation_users`` have enough events for a validation and a test target. ``files`` tells of bad rows,
    ``filtered`` of rows that were good but not wanted. ``distinct_ids`` counts imported semantic IDs by modality.
    """

    users: int
    evaluation_users: int
    items: int
    items_without_interactions: int
    interactions: int
    sparsity: float
    history_lengths: dict[str, float]
    with_title: float
    with_text: float
    with_image: float
    first_timestamp: int
    last_timestamp: int
    files: dict[str, FileRows]
    filtered: dict[str, int]
    distinct_ids: dict[str, int]
    fingerprint: str


def report_on(raw: RawData, interactions: Interactions, filtered: dict[str, int]) -> DataReport:
    """Describes the prepared data: ``raw`` with the items that stayed, and at least one interaction and item."""
    lengths = interactions.lengths()
    met = np.bincount(interactions.items, minlength=len(raw.items))
    quantiles = np.quantile(lengths, list(QUANTILES.values())).tolist()
    return DataReport(
        users=interactions.users,
        evaluation_users=int((lengths >= MIN_EVENTS).sum()),
        items=len(raw.items),
        items_without_interactions=int((met == 0).sum()),
        interactions=interactions.events,
        sparsity=1 - interactions.events / (interactions.users * len(raw.items)),
        history_lengths=dict(zip(QUANTILES, quantiles, strict=True)) | {"mean": float(lengths.mean())},
        with_title=_share([bool(item.title.strip()) for item in raw.items]),
        with_text=_share([bool(item.text.strip()) for item in raw.items]),
        with_image=_share([item.image is not None for item in raw.items]),
        first_timestamp=int(interactions.timestamps.min()),
        last_timestamp=int(interactions.timestamps.max()),
        files=raw.files,
        filtered=filtered,
        distinct_ids={} if raw.imported is None else _distinct_ids(raw.imported),
        fingerprint=fingerprint(raw.items, interactions, raw.images, raw.imported),
    )


def fingerprint(
    items: list[Item], interactions: Interactions, images: ImageSource | None, imported: ImportedIds | None
) -> str:
    """SHA-256 in hex over the canonical content: the same data from another form of files has the same fingerprint.

    Images enter by name (in the item) and CRC-32.
    """
    digest = hashlib.sha256()
    for item in items:
        digest.update(item_line(item))
        if item.image is not None and images is not None:
            digest.update(b"%08x\n" % images.checksum(item.image))
    digest.update("\0".join(interactions.user_ids).encode())
    for array in (interactions.offsets, interactions.items, interactions.timestamps):
        digest.update(np.ascontiguousarray(array).data)
    if imported is not None:
        digest.update(repr(imported.space).encode())
        digest.update(np.ascontiguousarray(imported.codes).data)
    return digest.hexdigest()


def _distinct_ids(imported: ImportedIds) -> dict[str, int]:
    """How many different semantic IDs each modality has."""
    counts = [len(np.unique(codes, axis=0)) for codes in imported.codes]
    return dict(zip(imported.space.modalities, counts, strict=True))


def _share(flags: list[bool]) -> float:
    """The share that is true."""
    return sum(flags) / len(flags)
