"""The canonical form: interactions (parquet or CSV), items (JSON lines), images (a folder or a zip archive)."""

from pathlib import Path

from model.config import Config
from model.errors import DataError
from training.bad_rows import RowRules
from training.images import open_images
from training.readers.event_table import EventColumns, read_event_table
from training.readers.item_rows import read_item_rows
from training.readers.raw import RawData

INTERACTIONS = ("interactions.parquet", "interactions.csv")


class CanonicalConfig(Config):
    """Where a canonical data folder keeps its files.

    By default the one of :data:`INTERACTIONS` that exists, and ``images/`` or ``images.zip``. ``min_rating`` leaves
    out events with a lower rating. ``decode_images`` decodes every image once, so that broken ones are known early.
    """

    interactions: str | None = None
    items: str = "items.jsonl"
    images: str | None = None
    columns: EventColumns = EventColumns()
    min_rating: float | None = None
    decode_images: bool = True


def read_canonical(data: Path, config: CanonicalConfig, rules: RowRules) -> RawData:
    """Reads a canonical data folder. Ids become strings; a CSV file's are strings already, so "1" is an item's 1.

    Raises:
        DataError: if a file or column is missing, an id is both an integer and a string, or too many rows are bad.
    """
    images = open_images(data, config.images)
    items, item_rows = read_item_rows(data / config.items, images, rules, decode=config.decode_images)
    catalog = {item.id: index for index, item in enumerate(items)}
    path = _interactions(data, config.interactions)
    events, event_rows, below = read_event_table(path, config.columns, catalog, rules, config.min_rating)
    return RawData(
        items=items,
        events=events,
        files={config.items: item_rows, path.name: event_rows},
        filtered={} if config.min_rating is None else {"events below the minimum rating": below},
        images=images,
    )


def _interactions(data: Path, name: str | None) -> Path:
    """The interactions file: the one named, or the only one that exists."""
    found = [data / candidate for candidate in ([name] if name else INTERACTIONS) if (data / candidate).exists()]
    if len(found) != 1:
        have = (
            f"has {' and '.join(path.name for path in found)}"
            if found
            else f"lacks {name or ' or '.join(INTERACTIONS)}"
        )
        raise DataError(f"{data} {have}; name the one interactions file in the config")
    if found[0].suffix not in {".parquet", ".csv"}:
        raise DataError(f"{found[0]} is neither .parquet nor .csv; convert it")
    return found[0]
