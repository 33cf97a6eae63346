"""The first stage: raw data in, the catalog's items and the users' histories out, with a report on both."""

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.config import Config
from model.errors import DataError
from training.bad_rows import RowRules
from training.data_report import report_on
from training.filters import KCore, find_repeats, k_core, time_order
from training.id_space_file import write_id_space
from training.interactions import Interactions
from training.items import write_items
from training.readers.canonical import CanonicalConfig, read_canonical
from training.readers.lcrec import LcrecConfig, read_lcrec
from training.readers.raw import Events, RawData

log = logging.getLogger(__name__)


class PrepareConfig(Config):
    """How to read and filter a data folder.

    Exact duplicates (user, item and time) are always dropped. ``repeats`` says whether a user may meet an item more
    than once; "drop" keeps the first time. ``items_without_interactions`` says whether items that nobody met, or that
    the k-core left without events, stay in the catalog.
    """

    format: Literal["canonical", "lcrec"] = "canonical"
    canonical: CanonicalConfig = CanonicalConfig()
    lcrec: LcrecConfig = LcrecConfig()
    rules: RowRules = RowRules()
    repeats: Literal["keep", "drop"] = "keep"
    k_core: KCore = KCore()
    items_without_interactions: Literal["keep", "drop"] = "keep"


def run(config: PrepareConfig, data: Path, out: Path) -> None:
    """Reads the folder ``data``; writes items, interactions, report and imported semantic IDs to ``out``.

    Raises:
        ConfigError: if the config names files that do not exist.
        DataError: if the data is not of the form, too much of it is bad, or nothing is left of it.
    """
    raw = _read(config, data)
    events, filtered = _filter(config, raw.events)
    if config.items_without_interactions == "drop":
        raw, events = _only_met(raw, events)
    if not len(events):
        raise DataError(f"{data} has no interactions left of {len(raw.events)} read; dropped on the way: {filtered}")
    interactions = _by_user(events)
    report = report_on(raw, interactions, raw.filtered | filtered)
    out.mkdir(parents=True, exist_ok=True)
    write_items(out / "items.jsonl", raw.items)
    interactions.save(out / "interactions.npz")
    if raw.imported is not None:
        np.save(out / "codes.npy", raw.imported.codes)
        write_id_space(out / "id_space.json", raw.imported.space)
    (out / "report.json").write_text(report.model_dump_json(indent=2) + "\n")
    log.info("%d users, %d items, %d interactions", report.users, report.items, report.interactions)


def _read(config: PrepareConfig, data: Path) -> RawData:
    """The raw data, by the format's reader."""
    if config.format == "lcrec":
        return read_lcrec(data, config.lcrec, config.rules)
    return read_canonical(data, config.canonical, config.rules)


def _filter(config: PrepareConfig, events: Events) -> tuple[Events, dict[str, int]]:
    """The events that stay, by user and time, and how many went for which reason."""
    events = time_order(events)
    found = find_repeats(events)
    repeats = found.repeats if config.repeats == "drop" else np.zeros_like(found.repeats)
    events = events.take(~(found.duplicates | repeats))
    core = k_core(events.users, events.items, config.k_core)
    filtered = {
        "duplicate events": int(found.duplicates.sum()),
        "repeated items": int(repeats.sum()),
        "events outside the k-core": int((~core).sum()),
    }
    return events.take(core), filtered


def _only_met(raw: RawData, events: Events) -> tuple[RawData, Events]:
    """The data without items that have no events, and the events with their items' new indices."""
    met = np.bincount(events.items, minlength=len(raw.items)) > 0
    index: NDArray[np.int32] = (np.cumsum(met) - 1).astype(np.int32)
    items = [item for item, stays in zip(raw.items, met.tolist(), strict=True) if stays]
    imported = raw.imported and raw.imported._replace(codes=raw.imported.codes[:, met])
    events = Events(events.user_ids, events.users, index[events.items], events.timestamps)
    return raw._replace(items=items, imported=imported), events


def _by_user(events: Events) -> Interactions:
    """Events by user and time as histories; users without events are no users."""
    counts = np.bincount(events.users, minlength=len(events.user_ids))
    user_ids = [events.user_ids[user] for user in np.flatnonzero(counts)]
    offsets = np.concatenate(([0], np.cumsum(counts[counts > 0])))
    return Interactions(user_ids, offsets, events.items, events.timestamps)
