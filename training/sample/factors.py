"""The latent factors behind items and tastes, and which modality shows each of them.

Every item has one value of every factor. A text factor appears in the title and description only, an image factor in
the picture only; the category appears in both. So neither modality alone can tell everything that a taste depends on.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.sample.streams import Stream, generator


class Factor(NamedTuple):
    """A latent factor: its values, and the one modality that shows them."""

    name: str
    modality: Literal["text", "image"]
    values: tuple[str, ...]


class Category(NamedTuple):
    """A kind of product; ``next`` names the categories that buyers turn to afterwards, likeliest first."""

    key: str
    department: str
    label: str
    price: float
    next: tuple[str, str, str]


FACTORS = (
    Factor("collection", "text", ("city", "study", "garden", "family", "gift", "coast", "heritage", "lifetime")),
    Factor("brand", "text", ("Fennmark", "Oskelby", "Tamsin & Rowe", "Velgard", "Liora Works", "Pellworth")),
    Factor("palette", "image", ("coral", "amber", "leaf", "teal", "blue", "violet", "rose", "graphite")),
    Factor("pattern", "image", ("plain", "stripes", "dots", "check", "dipped")),
    Factor("silhouette", "image", ("rounded", "straight", "tapered")),
)

CATEGORIES = (
    Category("mug", "Kitchen", "Mugs", 18, ("teapot", "clock", "plant-pot")),
    Category("teapot", "Kitchen", "Teapots", 46, ("cushion", "mug", "plant-pot")),
    Category("plant-pot", "Living", "Plant pots", 24, ("lamp", "chair", "mug")),
    Category("lamp", "Living", "Lamps", 79, ("chair", "clock", "cushion")),
    Category("clock", "Living", "Clocks", 58, ("lamp", "headphones", "mug")),
    Category("cushion", "Living", "Cushions", 32, ("plant-pot", "chair", "lamp")),
    Category("chair", "Living", "Chairs", 145, ("cushion", "guitar", "lamp")),
    Category("backpack", "On the go", "Backpacks", 89, ("sneakers", "bicycle", "headphones")),
    Category("sneakers", "On the go", "Sneakers", 95, ("bicycle", "headphones", "backpack")),
    Category("headphones", "Sound", "Headphones", 129, ("guitar", "sneakers", "backpack")),
    Category("guitar", "Sound", "Guitars", 340, ("mug", "headphones", "chair")),
    Category("bicycle", "On the go", "Bicycles", 690, ("backpack", "sneakers", "clock")),
)
CATEGORY_KEYS = tuple(category.key for category in CATEGORIES)


class Factors(NamedTuple):
    """The truth about N items: ``category`` (N,) int64 and ``values`` (N, F) int64, columns in the order of FACTORS."""

    category: NDArray[np.int64]
    values: NDArray[np.int64]

    def of(self, row: int) -> dict[str, str]:
        """The values of one item by the factors' names."""
        return {factor.name: factor.values[self.values[row, column]] for column, factor in enumerate(FACTORS)}


def draw_factors(items: int, seed: int) -> Factors:
    """Spreads ``items`` evenly over the categories and, within each, every factor's values evenly and independently."""
    category = np.sort(np.arange(items, dtype=np.int64) % len(CATEGORIES))
    values = np.zeros((items, len(FACTORS)), dtype=np.int64)
    rng = generator(seed, Stream.FACTORS)
    for index in range(len(CATEGORIES)):
        rows = np.flatnonzero(category == index)
        for column, factor in enumerate(FACTORS):
            values[rows, column] = rng.permutation(np.arange(len(rows)) % len(factor.values))
    return Factors(category, values)
