"""Pictures: every image factor can be seen, in every category, and nothing else steers the drawing."""

from itertools import pairwise

import numpy as np
import pytest

from training.sample.factors import CATEGORY_KEYS, FACTORS
from training.sample.pictures import DRAWINGS, draw_picture
from training.sample.surfaces import PALETTES

VALUES = {factor.name: factor.values for factor in FACTORS}


def _pixels(category: str, size: int = 48, seed: int = 5, changes: dict[str, str] | None = None) -> np.ndarray:
    looks = {"palette": "coral", "pattern": "stripes", "silhouette": "rounded"} | (changes or {})
    rng = np.random.default_rng(seed)
    picture = draw_picture(category, looks["palette"], looks["pattern"], looks["silhouette"], size, rng)
    return np.asarray(picture, dtype=np.float64)


def test_drawings_and_palettes_cover_the_factors() -> None:
    assert set(DRAWINGS) == set(CATEGORY_KEYS)
    assert set(PALETTES) == set(VALUES["palette"])


@pytest.mark.parametrize("category", CATEGORY_KEYS)
@pytest.mark.parametrize("factor", ["palette", "pattern", "silhouette"])
def test_each_value_of_a_factor_looks_different(category: str, factor: str) -> None:
    pictures = [_pixels(category, changes={factor: value}) for value in VALUES[factor]]
    for first, second in pairwise([*pictures, pictures[0]]):
        assert np.abs(first - second).mean() > 1.0


@pytest.mark.parametrize("category", CATEGORY_KEYS)
def test_a_drawing_repeats_exactly_and_fills_the_frame(category: str) -> None:
    picture = _pixels(category, size=64)
    assert picture.shape == (64, 64, 3)
    assert np.array_equal(picture, _pixels(category, size=64))
    border = np.concatenate([picture[0], picture[-1]])
    assert np.ptp(border, axis=0).max() < 60, "the product touches the upper or lower edge"
    assert picture[20:44, 20:44].std() > 8


@pytest.mark.parametrize("palette", PALETTES)
def test_the_palette_decides_the_picture_s_colours(palette: str) -> None:
    picture = _pixels("cushion", changes={"palette": palette, "pattern": "plain"})
    centre = picture[26:36, 14:22].mean(axis=(0, 1))
    distances = {name: np.abs(centre - np.array(colours.main)).sum() for name, colours in PALETTES.items()}
    assert min(distances, key=lambda name: distances[name]) == palette
