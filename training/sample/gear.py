"""Drawings of things to go out with and to listen to, in the three silhouettes of the shop."""

from collections.abc import Sequence
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np

from training.sample.canvas import Canvas, Colour, Point, Shape, box, ellipse, moved, ring, scaled, smooth, turned
from training.sample.homeware import CREAM, DARK_WOOD, INK, STEEL, WOOD
from training.sample.surfaces import Palette, floor_shadow


def draw_backpack(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A backpack from the front, with a pocket and straps."""
    bodies: dict[str, Shape] = {
        "rounded": turned([(0, 15), (16, 18), (25, 31), (28, 52), (28, 72), (26, 82), (18, 86)]),
        "straight": box(25, 17, 75, 85, 4),
        "tapered": turned([(11, 15), (15, 28), (22, 48), (29, 70), (28, 84)]),
    }
    body = bodies[silhouette]
    canvas.haze(floor_shadow(50, 85, 27))
    canvas.stroke(ellipse(50, 17, 6.5, 7, 180, 360), 2.6, palette.deep)
    for side in (-1, 1):
        strap = [(50 + side * 15, 30), (50 + side * 32, 50), (50 + side * 28, 80)]
        canvas.stroke(smooth(strap, closed=False), 4.2, palette.deep)
    canvas.body(body)
    pocket = box(32, 57, 68, 80, 5)
    canvas.shade(moved(pocket, 0.8, 1.6), body, 0.4)
    canvas.fill(pocket, palette.deep)
    canvas.stroke([(35, 62), (65, 62)], 1.1, palette.pale)
    pull = float(rng.uniform(42, 60))
    canvas.stroke([(pull, 62), (pull, 67)], 1.8, palette.accent)
    seam = {"rounded": 38, "straight": 40, "tapered": 38}[silhouette]
    canvas.shade(box(10, seam, 90, seam + 1.8), body, 0.5)
    if silhouette == "straight":
        for x in (37, 63):
            canvas.fill(box(x - 1.8, 17, x + 1.8, 50, 0.5), palette.deep)
            canvas.fill(box(x - 2.6, 46, x + 2.6, 51, 1), palette.accent)
    else:
        canvas.fill(box(45, 34.5, 55, 43, 1.5), palette.accent)
        canvas.stroke([(47.5, 38.6), (52.5, 38.6)], 1.0, palette.deep)


class _Last(NamedTuple):
    """The lines of a shoe, seen from the side."""

    upper: list[Point]
    sole: list[Point]
    collar: Point
    laces: tuple[Point, Point]


LASTS = {
    "rounded": _Last(
        [(15, 73), (14, 58), (15, 44), (25, 46), (34, 50), (42, 40), (49, 40), (60, 52), (76, 55), (89, 63), (89, 73)],
        [(12, 69), (50, 70), (90, 69), (93, 75), (88, 81), (50, 81.5), (15, 81), (10, 75)],
        (27, 47),
        ((46, 44), (61, 56)),
    ),
    "straight": _Last(
        [(17, 73), (17, 50), (17, 24), (29, 23), (42, 24), (45, 36), (52, 49), (66, 56), (80, 59), (88, 65), (88, 73)],
        [(15, 71), (50, 72), (89, 70), (90, 75), (89, 79.5), (50, 80), (15.5, 79.5), (14.5, 76)],
        (30, 24.5),
        ((40, 30), (60, 56)),
    ),
    "tapered": _Last(
        [(13, 73), (11, 60), (8, 48), (20, 51), (31, 54), (42, 46), (48, 47), (60, 58), (76, 64), (94, 71), (94, 73)],
        [(7, 66), (30, 69), (60, 73), (96, 71), (97, 74), (80, 79), (45, 78.5), (12, 81), (5, 75)],
        (22, 51.5),
        ((45, 50), (60, 61)),
    ),
}


def draw_sneakers(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A pair of sneakers from the side, the second behind the first."""
    canvas.haze(floor_shadow(52, 79, 38))
    _draw_shoe(canvas, palette, LASTS[silhouette], (6.5, -float(rng.uniform(7.5, 9.5))))
    _draw_shoe(canvas, palette, LASTS[silhouette], (-5.5, 1.0))


def _draw_shoe(canvas: Canvas, palette: Palette, last: _Last, shift: Point) -> None:
    def place(points: Sequence[Point]) -> Shape:
        return moved(scaled(points, 0.86, (50, 78)), *shift)

    upper = place(smooth(last.upper))
    canvas.fill(place(ellipse(*last.collar, 12, 3.6)), palette.deep)
    canvas.body(upper, "sheet")
    canvas.shade(place(box(5, 66, 98, 82)), upper, 0.2)
    canvas.stroke(place(smooth(last.upper[:3], closed=False)), 3.6, palette.accent)
    (left, top), (right, bottom) = last.laces
    for share in (0.0, 0.33, 0.66, 1.0):
        x, y = left + (right - left) * share, top + (bottom - top) * share
        canvas.stroke(place([(x - 5.5, y + 3), (x + 2.5, y - 0.8)]), 1.5, CREAM)
    canvas.part(place(smooth(last.sole)), CREAM)
    canvas.stroke(place([(14, 76.5), (50, 77), (88, 76)]), 0.9, palette.main)


def draw_headphones(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A pair of headphones, its cups facing outwards."""
    cups: dict[str, Shape] = {
        "rounded": ellipse(24, 61, 15.5, 18),
        "straight": box(10, 44, 38, 79, 4),
        "tapered": smooth([(24, 41), (34, 44), (38, 53), (33, 68), (24, 82), (15, 68), (10, 53), (14, 44)]),
    }
    cup = cups[silhouette]
    lean = float(rng.uniform(-1.5, 1.5))
    canvas.haze(moved(ellipse(50, 84, 40, 3.2), lean, 0))
    canvas.part(ring(50, 50, 33, 36, 8, 180, 360), palette.main)
    canvas.fill(ring(50, 50, 25.5, 28.5, 3.4, 196, 344), palette.deep)
    for side in (-1, 1):
        canvas.stroke([(50 + side * 29, 44), (50 + side * 28.5, 58)], 3, STEEL)
    for mirror in (False, True):
        outline = [(100 - x, y) for x, y in cup] if mirror else cup
        inwards = -5.0 if mirror else 5.0
        canvas.fill(moved(outline, inwards, 0.5), INK)
        canvas.body(outline, "ball")
        centre = 76.0 if mirror else 24.0
        canvas.stroke(ellipse(centre, 60, 7.5, 8.6), 1.2, palette.deep)
        canvas.fill(ellipse(centre, 60, 3.2, 3.6), palette.accent)


def draw_guitar(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A guitar that stands upright: acoustic, a box, or a flying wedge."""
    bodies: dict[str, Shape] = {
        "rounded": turned([(5, 41), (14, 43), (18, 50), (15, 59), (18, 66), (24, 76), (21, 87), (10, 92.5), (0, 93)]),
        "straight": box(29, 46, 71, 92, 4),
        "tapered": [(45, 46), (55, 46), (78, 88), (74, 92), (64, 92), (50, 74), (36, 92), (26, 92), (22, 88)],
    }
    body = bodies[silhouette]
    canvas.haze(moved(body, 2.4, 2.4), blur=2.4, strength=0.36)
    canvas.body(body, "sheet")
    canvas.stroke([*body, body[0]], 1.2, palette.deep)
    if silhouette == "tapered":
        for y in (58, 66):
            canvas.fill(box(45, y, 55, y + 3.4, 1), INK)
    else:
        canvas.fill(ellipse(50, 62, 7.4, 7.4), palette.pale)
        canvas.fill(ellipse(50, 62, 6, 6), INK)
    canvas.fill(box(43, 79, 57, 82.4, 1) if silhouette != "tapered" else box(44.5, 71.5, 55.5, 74, 1), DARK_WOOD)
    _draw_neck(canvas, palette, 57 if silhouette != "tapered" else 55, 80 if silhouette != "tapered" else 72.5, rng)


def _draw_neck(canvas: Canvas, palette: Palette, end: float, bridge: float, rng: np.random.Generator) -> None:
    """Neck, head and strings; the neck ends at ``end``, the strings at ``bridge``."""
    wood: Colour = (WOOD, DARK_WOOD)[int(rng.integers(2))]
    canvas.fill([(47, 13), (53, 13), (54, end), (46, end)], wood)
    for fret in range(1, 11):
        y = 13 + (end - 13) * (1 - 0.89**fret) / (1 - 0.89**11)
        canvas.stroke([(46.6, y), (53.4, y)], 0.5, CREAM)
    for side in (-1, 1):
        for y in (7, 9.7, 12.4):
            canvas.fill(ellipse(50 + side * 6.4, y, 1.5, 1.1), STEEL)
    canvas.fill([(44.5, 5), (55.5, 5), (53.5, 15), (46.5, 15)], palette.deep)
    for x in (48, 49.3, 50.7, 52):
        canvas.stroke([(x, 8), (x, bridge)], 0.35, CREAM)


def draw_bicycle(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A bicycle from the side: step-through, diamond frame or small-wheeled, with covered wheels and a bag."""
    radius = 15.0 if silhouette == "tapered" else 20.0
    axle = 84.0 - radius
    rear, front = (25.0, axle), (76.0, axle)
    canvas.haze(ellipse(51, 84.6, 42, 2.4))
    for cx, cy in (rear, front):
        _draw_wheel(canvas, cx, cy, radius)
    frames: dict[str, list[list[Point]]] = {
        "rounded": [[(67, 34), (62, 52), (46, 62)], [(66, 40), (58, 58), (45, 66)], [(38, 42), (45, 66)]],
        "straight": [[(39, 38), (67, 38)], [(67, 42), (45, 66)], [(38, 34), (45, 66)], [(39, 40), rear]],
        "tapered": [[(40, 56), (67, 40)], [(68, 46), (45, 68)], [(36, 32), (45, 68)], [(41, 56), rear]],
    }
    crank = (45.0, 68.0 if silhouette == "tapered" else 66.0)
    _draw_bag(canvas, palette, silhouette, rng)
    for line in [[rear, crank], [(67, 32), (69, 44), front], *frames[silhouette]]:
        canvas.stroke(smooth(line, closed=False) if len(line) > 2 else line, 3.4, palette.main)
    _draw_controls(canvas, palette, crank, 30.0 if silhouette == "tapered" else 34.0)


def _draw_wheel(canvas: Canvas, cx: float, cy: float, radius: float) -> None:
    canvas.fill(ellipse(cx, cy, radius, radius), INK)
    canvas.fill(ellipse(cx, cy, radius - 2.4, radius - 2.4), STEEL)
    canvas.fill(ellipse(cx, cy, radius - 3.4, radius - 3.4), CREAM)
    canvas.body(ellipse(cx, cy, radius - 4.4, radius - 4.4), "ball")
    for spoke in range(8):
        angle = spoke * pi / 4
        edge = (cx + (radius - 4.4) * cos(angle), cy + (radius - 4.4) * sin(angle))
        canvas.stroke([(cx, cy), edge], 0.4, STEEL)
    canvas.fill(ellipse(cx, cy, 2, 2), STEEL)


def _draw_bag(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A pannier over the rear wheel and, at times, a bag at the front."""
    top = 50.0 if silhouette == "tapered" else 43.0
    pannier = box(11, top, 35, top + 19, 3)
    canvas.stroke([(10, top - 1), (40, top - 1)], 1.6, INK)
    canvas.body(pannier, "sheet")
    canvas.shade(box(11, top + 6, 35, top + 7.2), pannier, 0.5)
    canvas.fill(box(21, top + 4, 25, top + 9, 0.8), palette.accent)
    if rng.random() < 0.5:
        canvas.body(box(70, 34, 87, 48, 2.5), "sheet")
        canvas.stroke([(70, 36), (87, 36)], 1.2, palette.deep)


def _draw_controls(canvas: Canvas, palette: Palette, crank: Point, saddle: float) -> None:
    canvas.stroke([(38, saddle + 6), (37, saddle)], 2, STEEL)
    canvas.fill(
        smooth([(28, saddle - 3), (37, saddle - 3.6), (46, saddle - 1), (38, saddle + 1), (29, saddle + 1)]), INK
    )
    canvas.stroke([(67, 33), (66, 28), (72, 25), (77, 28)], 2, STEEL)
    canvas.stroke([(74, 26), (78, 29)], 3, palette.accent)
    canvas.fill(ellipse(crank[0], crank[1], 4.6, 4.6), STEEL)
    canvas.fill(ellipse(crank[0], crank[1], 2.4, 2.4), INK)
    canvas.stroke([crank, (crank[0] + 5, crank[1] + 8)], 1.6, INK)
    canvas.stroke([(crank[0] + 2, crank[1] + 8.5), (crank[0] + 8, crank[1] + 8.5)], 2, INK)
