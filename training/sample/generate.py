"""Generates the sample shop: a small multimodal shop in the canonical form, together with the truth behind it.

Text and picture of an item each tell something that the other does not, histories follow tastes over both, and the
oracle knows the true probability of every next purchase. Equal configurations give equal bytes.
"""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from model.config import Config
from training.items import Item, write_items
from training.progress import progress
from training.sample.factors import CATEGORIES, Factors, draw_factors
from training.sample.histories import LONGEST, Histories, draw_histories
from training.sample.oracle import Oracle
from training.sample.pictures import draw_picture
from training.sample.streams import Stream, generator
from training.sample.tastes import TasteConfig, draw_taste_model
from training.sample.texts import write_listing
from training.sample.vocabulary import COLLECTION_WORDS

ITEMS, INTERACTIONS, IMAGES, ORACLE = "items.jsonl", "interactions.csv", "images", "oracle.npz"
JPEG_QUALITY = 88


class SampleConfig(Config):
    """The size of the shop, and the seed that everything in it follows from."""

    items: int = Field(720, ge=LONGEST)
    users: PositiveInt = 2000
    seed: NonNegativeInt = 7
    image_size: int = Field(192, ge=16)
    """Width and height of the pictures in pixels."""
    missing_images: float = Field(0.02, ge=0.0, le=1.0)
    """The share of items without a picture."""
    tastes: TasteConfig = TasteConfig()


def generate(config: SampleConfig, out: Path) -> None:
    """Writes the shop into ``out``: items.jsonl, interactions.csv, images/ and oracle.npz (see :class:`Oracle`)."""
    out.mkdir(parents=True, exist_ok=True)
    factors = draw_factors(config.items, config.seed)
    items = _make_items(config, factors)
    write_items(out / ITEMS, items)
    _draw_images(config, factors, items, out / IMAGES)
    model = draw_taste_model(config.tastes, factors, config.users, config.seed)
    oracle = Oracle(model, tuple(item.id for item in items), _user_ids(config.users))
    oracle.save(out / ORACLE)
    _write_interactions(out / INTERACTIONS, oracle, draw_histories(model, config.seed))


def _user_ids(users: int) -> tuple[str, ...]:
    return tuple(f"user-{number:04d}" for number in range(1, users + 1))


def _make_items(config: SampleConfig, factors: Factors) -> list[Item]:
    """Every item with its listing; numbers run within a category."""
    pictured = _has_picture(config)
    numbers: Counter[str] = Counter()
    editions: Counter[tuple[str, str]] = Counter()
    items = []
    for row in range(config.items):
        category = CATEGORIES[factors.category[row]]
        values = factors.of(row)
        edition = (category.key, values["collection"])
        listing = write_listing(
            category=category.key,
            collection=values["collection"],
            brand=values["brand"],
            edition=editions[edition],
            base_price=category.price,
            rng=generator(config.seed, Stream.TEXT, row),
        )
        numbers[category.key] += 1
        editions[edition] += 1
        name = f"{category.key}-{numbers[category.key]:04d}"
        label = COLLECTION_WORDS[values["collection"]].label
        items.append(
            Item(
                id=name,
                title=listing.title,
                text=listing.text,
                category=(category.department, category.label),
                price=listing.price,
                attributes={"brand": values["brand"], "collection": label, "material": listing.material},
                image=f"{name}.jpg" if pictured[row] else None,
            )
        )
    return items


def _has_picture(config: SampleConfig) -> NDArray[np.bool_]:
    """(N,): False for the asked share of items, wherever they fall."""
    order = generator(config.seed, Stream.MISSING_PICTURE).permutation(config.items)
    return np.asarray(order >= round(config.missing_images * config.items))


def _draw_images(config: SampleConfig, factors: Factors, items: list[Item], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for row, item in enumerate(progress(items, "pictures")):
        if item.image is None:
            continue
        looks = factors.of(row)
        picture = draw_picture(
            category=CATEGORIES[factors.category[row]].key,
            palette=looks["palette"],
            pattern=looks["pattern"],
            silhouette=looks["silhouette"],
            size=config.image_size,
            rng=generator(config.seed, Stream.PICTURE, row),
        )
        picture.save(folder / item.image, "JPEG", quality=JPEG_QUALITY)


def _write_interactions(path: Path, oracle: Oracle, histories: Histories) -> None:
    """One line per purchase in order of time, as a shop's log would have them."""
    owners = histories.owners
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "item", "timestamp", "rating"))
        for event in np.argsort(histories.timestamps, kind="stable"):
            user, item = oracle.user_ids[owners[event]], oracle.item_ids[histories.items[event]]
            writer.writerow((user, item, int(histories.timestamps[event]), int(histories.ratings[event])))
