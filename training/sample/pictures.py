"""Product pictures, drawn from the image factors and nothing else."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from training.sample.canvas import SUPERSAMPLING, Canvas
from training.sample.gear import draw_backpack, draw_bicycle, draw_guitar, draw_headphones, draw_sneakers
from training.sample.homeware import (
    draw_chair,
    draw_clock,
    draw_cushion,
    draw_lamp,
    draw_mug,
    draw_plant_pot,
    draw_teapot,
)
from training.sample.surfaces import PALETTES, Palette, paint_background, paint_surface


class Drawing(NamedTuple):
    """How a category is drawn, and the height (0 to 1) at which its dipped variant changes colour."""

    draw: Callable[[Canvas, Palette, str, np.random.Generator], None]
    waist: float
    horizon: float = 0.72
    """Where the wall meets the floor; above 1 there is only wall."""


DRAWINGS = {
    "mug": Drawing(draw_mug, 0.57),
    "teapot": Drawing(draw_teapot, 0.61),
    "plant-pot": Drawing(draw_plant_pot, 0.71),
    "lamp": Drawing(draw_lamp, 0.34),
    "clock": Drawing(draw_clock, 0.52, horizon=1.6),
    "cushion": Drawing(draw_cushion, 0.55),
    "chair": Drawing(draw_chair, 0.36),
    "backpack": Drawing(draw_backpack, 0.53),
    "sneakers": Drawing(draw_sneakers, 0.61),
    "headphones": Drawing(draw_headphones, 0.62),
    "guitar": Drawing(draw_guitar, 0.7, horizon=1.6),
    "bicycle": Drawing(draw_bicycle, 0.65),
}


def draw_picture(
    category: str, palette: str, pattern: str, silhouette: str, size: int, rng: np.random.Generator
) -> Image.Image:
    """Draws a product, ``size`` pixels square, RGB; ``rng`` decides small things such as the time on a clock."""
    drawing, colours, pixels = DRAWINGS[category], PALETTES[palette], size * SUPERSAMPLING
    canvas = Canvas(
        size,
        background=paint_background(palette, pixels, drawing.horizon),
        surface=paint_surface(colours, pattern, drawing.waist, pixels, rng),
        edge=colours.deep,
    )
    drawing.draw(canvas, colours, silhouette, rng)
    return canvas.finish()
