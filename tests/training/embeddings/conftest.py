"""A small catalog with texts in several scripts and drawn pictures, made anew for each test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.toys import interactions_of
from training.embeddings.sources import Inputs
from training.items import Item
from training.split import Split

COLOURS = ("red", "green", "blue", "orange")
NOUNS = ("guitar", "piano", "гитара", "弦楽器")
ADJECTIVES = ("loud", "quiet", "old", "new", "heavy")


@pytest.fixture
def items() -> list[Item]:
    """60 items; every fifth has no image, the others one named by its id."""
    rng = np.random.default_rng(0)
    made = []
    for row in range(60):
        colour, noun = COLOURS[row % 4], NOUNS[row // 4 % 4]
        words = " ".join(rng.choice(ADJECTIVES, 3))
        image = None if row % 5 == 0 else f"i{row}.png"
        made.append(Item(id=f"i{row}", title=f"{colour} {noun}", text=words, category=(noun,), image=image))
    return made


@pytest.fixture
def data(tmp_path: Path, items: list[Item]) -> Path:
    """A data folder with the items' pictures: bars whose colour, number and place follow from the row."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    for row, item in enumerate(items):
        if item.image:
            picture = Image.new("RGB", (48, 40), "white")
            for bar in range(1 + row // 4 % 4):
                ImageDraw.Draw(picture).rectangle((row % 7 + 9 * bar, 5, row % 7 + 9 * bar + 4, 30), COLOURS[row % 4])
            picture.save(folder / "images" / item.image)
    return folder


@pytest.fixture
def inputs(tmp_path: Path, items: list[Item], data: Path) -> Callable[[str], Inputs]:
    """Inputs with a work folder of the given name, and two users who met all items but the last in order."""
    everything = interactions_of([range(59), range(59)])
    return lambda name: Inputs(items, data, tmp_path / "work" / name, lambda: Split(everything))
