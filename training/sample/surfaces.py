"""Palettes, patterned surfaces and backgrounds: what the pictures show beside the shapes."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from training.sample.canvas import Colour, ellipse


class Palette(NamedTuple):
    """The colours of a product: main colour, its dark and pale relatives, and a contrasting one for small parts."""

    main: Colour
    deep: Colour
    pale: Colour
    accent: Colour


PALETTES = {
    "coral": Palette((226, 88, 66), (150, 44, 38), (255, 224, 208), (44, 70, 92)),
    "amber": Palette((240, 176, 44), (168, 104, 16), (255, 242, 204), (92, 60, 48)),
    "leaf": Palette((96, 158, 74), (44, 92, 46), (226, 242, 208), (214, 122, 60)),
    "teal": Palette((24, 142, 140), (10, 84, 88), (208, 240, 234), (236, 150, 92)),
    "blue": Palette((58, 104, 206), (28, 54, 124), (214, 228, 252), (244, 190, 80)),
    "violet": Palette((126, 80, 176), (72, 40, 112), (234, 220, 250), (240, 164, 120)),
    "rose": Palette((238, 130, 168), (172, 62, 108), (255, 230, 238), (96, 76, 120)),
    "graphite": Palette((82, 86, 94), (40, 42, 50), (222, 224, 228), (206, 150, 96)),
}


def paint_surface(palette: Palette, pattern: str, waist: float, pixels: int, rng: np.random.Generator) -> Image.Image:
    """A square of patterned material, ``pixels`` wide; ``rng`` shifts and scales the pattern a little.

    ``waist`` is the height, from 0 at the top to 1, at which a dipped product changes its colour.
    """
    surface = Image.new("RGB", (pixels, pixels), palette.main)
    period = pixels * float(rng.uniform(0.085, 0.1))
    shift = period * float(rng.random())
    draw = ImageDraw.Draw(surface)
    if pattern == "stripes":
        _stripes(draw, pixels, period, shift, palette.pale)
    elif pattern == "dots":
        _dots(draw, pixels, period, shift, palette.pale)
    elif pattern == "check":
        _check(surface, period, shift, palette)
    elif pattern == "dipped":
        edge = pixels * (waist + float(rng.uniform(-0.02, 0.02)))
        draw.rectangle((0, edge, pixels, pixels), fill=palette.pale)
        draw.rectangle((0, edge, pixels, edge + pixels * 0.012), fill=palette.deep)
    return surface


def _stripes(draw: ImageDraw.ImageDraw, pixels: int, period: float, shift: float, colour: Colour) -> None:
    for index in range(-1, int(pixels / period) + 1):
        top = index * period + shift
        draw.rectangle((0, top, pixels, top + period * 0.42), fill=colour)


def _dots(draw: ImageDraw.ImageDraw, pixels: int, period: float, shift: float, colour: Colour) -> None:
    """Staggered rows of dots."""
    radius = period * 0.25
    for row in range(-1, int(pixels / period) + 2):
        for column in range(-1, int(pixels / period) + 2):
            x, y = (column + row % 2 / 2) * period + shift, row * period * 0.87 + shift
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _check(surface: Image.Image, period: float, shift: float, palette: Palette) -> None:
    """Gingham: half-tone bands both ways, pale where they cross."""
    steps = (np.arange(surface.width) + shift) % (period * 1.3) < period * 0.65
    crossings = steps[:, None].astype(int) + steps[None, :].astype(int)
    half = tuple((a + b) // 2 for a, b in zip(palette.main, palette.pale, strict=True))
    colours = np.array([palette.main, half, palette.pale], dtype=np.uint8)
    surface.paste(Image.fromarray(colours[crossings]))


@lru_cache(maxsize=64)
def paint_background(palette_name: str, pixels: int, horizon: float) -> Image.Image:
    """A studio backdrop in a pale tint of the palette: a lit wall above, a floor below ``horizon`` (0 to 1)."""
    palette = PALETTES[palette_name]
    tint = np.array(palette.pale, dtype=np.float64) * 0.55 + np.array((246, 244, 240)) * 0.45
    y, x = np.mgrid[0 : 1 : pixels * 1j, 0 : 1 : pixels * 1j]
    glow = np.exp(-(((x - 0.42) / 0.55) ** 2 + ((y - 0.38) / 0.55) ** 2))
    level = 0.93 + 0.09 * glow
    floor = 1 / (1 + np.exp(-(y - horizon) * 90))
    level = level * (1 - 0.055 * floor * (1 - 0.6 * np.clip((y - horizon) / 0.3, 0, 1)))
    return Image.fromarray(np.rint(np.clip(tint * level[..., None], 0, 255)).astype(np.uint8))


def floor_shadow(cx: float, y: float, half_width: float) -> list[tuple[float, float]]:
    """The outline of the shadow under a product of the given half width that stands at ``y``."""
    return ellipse(cx + half_width * 0.12, y + 0.8, half_width * 1.12, 2.6 + half_width * 0.05)
