"""Items that share the first code of their semantic IDs, with their pictures: what the codes have learned to mean.

The pictures go into the report of a run folder and nowhere else.
"""

import base64
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from model.errors import DataError
from training.id_space_file import read_id_space
from training.images import ImageSource, open_images
from training.items import Item, read_items

CODES_SHOWN = 8
ITEMS_SHOWN = 8
SIDE = 96


class Group(NamedTuple):
    """Items below one first code: modality, code, how many there are, and the titles and pictures of some."""

    modality: str
    code: int
    size: int
    items: list[tuple[str, str | None]]


def prefix_groups(assign: Path, prepare: Path, data: Path, seed: int = 0) -> list[Group]:
    """The first codes with the most items in each modality, with items drawn by ``seed``; pictures are data URIs.

    An item whose picture is missing or does not decode is shown by its title alone.
    """
    space, items = read_id_space(assign / "id_space.json"), read_items(prepare / "items.jsonl")
    codes = np.load(assign / "codes.npy", allow_pickle=False)
    source, rng = open_images(data), np.random.default_rng(seed)
    groups = []
    for modality, name in enumerate(space.modalities):
        counts = np.bincount(codes[modality, :, 0], minlength=space.codes)
        for code in np.argsort(-counts, kind="stable")[:CODES_SHOWN]:
            below = np.flatnonzero(codes[modality, :, 0] == code)
            drawn = rng.permutation(below)[:ITEMS_SHOWN]
            shown = [_shown(items[row], source) for row in drawn.tolist()]
            groups.append(Group(name, int(code), len(below), shown))
    return [group for group in groups if group.size]


def _shown(item: Item, source: ImageSource | None) -> tuple[str, str | None]:
    title = item.title or item.id
    if source is None or item.image is None:
        return title, None
    try:
        picture = source.read(item.image)
    except DataError:
        return title, None
    return title, _data_uri(picture)


def _data_uri(picture: Image.Image) -> str:
    picture.thumbnail((SIDE, SIDE))
    stored = BytesIO()
    picture.save(stored, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stored.getvalue()).decode()}"
