"""Drawings of things for the home. Every function draws one product in the three silhouettes of the shop."""

from math import cos, pi, sin

import numpy as np

from training.sample.canvas import (
    Canvas,
    Colour,
    Point,
    Shape,
    box,
    ellipse,
    moved,
    ring,
    rounded,
    smooth,
    tube,
    turned,
)
from training.sample.surfaces import Palette, floor_shadow

WOOD, DARK_WOOD = (196, 150, 104), (150, 108, 72)
INK, CREAM, STEEL = (48, 46, 54), (252, 248, 238), (178, 182, 190)
SOIL, COFFEE, GLOW = (84, 62, 50), (98, 62, 42), (255, 238, 178)
GREENS: tuple[Colour, ...] = ((64, 124, 82), (84, 148, 92), (50, 102, 74), (112, 164, 98))


def draw_mug(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A mug of coffee, its handle to the right."""
    profile: dict[str, list[Point]] = {
        "rounded": [(20, 36), (25, 46), (27, 57), (24, 70), (15, 79)],
        "straight": [(21, 34), (21, 48), (21, 64), (21, 78)],
        "tapered": [(27, 36), (24.5, 50), (21, 64), (16.5, 79)],
    }
    sides, cx = profile[silhouette], 45.0
    top, rim = sides[0][1], sides[0][0]
    reach = float(rng.uniform(12.5, 15))
    canvas.haze(floor_shadow(cx + 3, sides[-1][1] + 3, sides[-1][0] + 3))
    middle = cx + float(np.interp(56, [y for _, y in sides], [width for width, _ in sides]))
    canvas.part(ring(middle - 3, 55, reach + 3, 14.5, 4.6, -115, 115), palette.main)
    canvas.body(turned(sides, cx, bow=4))
    canvas.fill(ellipse(cx, top, rim, 4.6), palette.pale)
    canvas.fill(ellipse(cx, top + 0.2, rim - 1.6, 3.6), palette.deep)
    canvas.fill(ellipse(cx, top + 1.2, rim - 3.4, 2.5), COFFEE)


def draw_teapot(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A teapot, its spout to the right."""
    bodies: dict[str, Shape] = {
        "rounded": ellipse(48, 60, 24, 20),
        "straight": turned([(20, 42), (20.5, 50), (20.5, 66), (20, 77)], 48, bow=3),
        "tapered": turned([(9, 36), (12, 46), (19, 60), (24, 71), (22, 78)], 48, bow=3),
    }
    lid_width, lid_y = {"rounded": (13, 43), "straight": (20, 42), "tapered": (9.5, 37)}[silhouette]
    canvas.haze(floor_shadow(48, 80, 22))
    canvas.part(ring(28, 58, 16, 15 + float(rng.uniform(-1, 1)), 4.4, 75, 285), palette.main)
    spout = smooth([(64, 68), (73, 64), (76, 54), (84, 45)], closed=False)
    canvas.part(tube(spout, 11, 4.6), palette.main)
    canvas.fill(ellipse(84.2, 44.8, 2.5, 1.4), palette.deep)
    canvas.body(bodies[silhouette], "ball" if silhouette == "rounded" else "cylinder")
    canvas.part(ellipse(48, lid_y + 1, lid_width, 6.5, 180, 360), palette.main)
    canvas.stroke([(48 - lid_width, lid_y + 1), (48 + lid_width, lid_y + 1)], 1.3, palette.deep)
    canvas.fill(ellipse(48, lid_y - 7.2, 3.4, 3.2), palette.accent)


def draw_plant_pot(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A pot with one of four plants in it."""
    profile: dict[str, list[Point]] = {
        "rounded": [(17, 54), (22, 58.5), (25, 66.5), (22.5, 75.5), (14, 83)],
        "straight": [(21, 54), (21, 64), (21, 74), (21, 83)],
        "tapered": [(24.5, 54), (21, 64), (17.5, 74), (14, 83)],
    }
    sides = profile[silhouette]
    canvas.haze(floor_shadow(50, 85, sides[-1][0] + 4))
    canvas.fill(ellipse(50, 54, sides[0][0], 4.2), palette.deep)
    canvas.fill(ellipse(50, 54.6, sides[0][0] - 1.6, 3.2), SOIL)
    (_draw_leaves, _draw_blades, _draw_cactus, _draw_bush)[int(rng.integers(4))](canvas, rng)
    front = [(x, y) for x, y in ellipse(50, 54, sides[0][0], 4.2, 0, 180)]
    sides_below = turned(sides, 50, bow=3.4)
    right = sides_below[: len(sides_below) // 2 + 1]
    mirrored = [(100 - x, y) for x, y in reversed(right)]
    canvas.body([*right, *mirrored, *front[::-1]])
    if silhouette == "tapered":
        band = [*ellipse(50, 54, 25.4, 4.4, 0, 180), *ellipse(50, 59.5, 24.4, 4.4, 0, 180)[::-1]]
        canvas.body(band)
        canvas.stroke(ellipse(50, 59.8, 24.2, 4.4, 4, 176), 0.7, palette.deep)


def _draw_leaves(canvas: Canvas, rng: np.random.Generator) -> None:
    for degrees in (-152, -28, -130, -50, -108, -72, -90):
        angle = (degrees + float(rng.uniform(-7, 7))) * pi / 180
        length = float(rng.uniform(26, 36)) * (0.75 + 0.25 * abs(sin(angle)))
        tip = (50 + length * cos(angle), 54 + length * sin(angle))
        _draw_leaf(canvas, (50, 54), tip, 11, GREENS[int(rng.integers(4))])


def _draw_leaf(canvas: Canvas, base: Point, tip: Point, width: float, colour: Colour) -> None:
    (x, y), (dx, dy) = base, (tip[0] - base[0], tip[1] - base[1])
    length = (dx * dx + dy * dy) ** 0.5
    across = (-dy / length * width / 2, dx / length * width / 2)
    middle = (x + dx * 0.58, y + dy * 0.58)
    side = [(middle[0] + across[0], middle[1] + across[1]), (middle[0] - across[0], middle[1] - across[1])]
    canvas.fill(smooth([base, side[0], tip, side[1]]), colour)
    canvas.stroke([base, (x + dx * 0.9, y + dy * 0.9)], 0.7, (214, 232, 196))


def _draw_blades(canvas: Canvas, rng: np.random.Generator) -> None:
    for index, lean in enumerate((-13, 12, -7, 7, 0)):
        height = float(rng.uniform(30, 40)) - abs(lean) * 0.6
        x = 50 + lean * 0.6
        tip = (50 + lean * 1.5, 54 - height)
        canvas.fill(smooth([(x - 3, 55), (x - 4 + lean * 0.3, 54 - height / 2), tip, (x + 3, 55)]), GREENS[index % 4])
        canvas.stroke([(x, 54), (x + lean * 0.4, 54 - height / 2), tip], 0.8, (186, 210, 140))


def _draw_cactus(canvas: Canvas, rng: np.random.Generator) -> None:
    height = float(rng.uniform(26, 34))
    green, light = GREENS[0], GREENS[3]
    for side in (-1, 1):
        elbow = 54 - height * float(rng.uniform(0.35, 0.6))
        arm = [(50, elbow + 3), (50 + side * 12, elbow + 2), (50 + side * 13, elbow - 8)]
        canvas.stroke(smooth(arm, closed=False), 6, green)
    canvas.fill(box(43.5, 54 - height, 56.5, 58, 6.4), green)
    for x in (46.5, 50, 53.5):
        canvas.stroke([(x, 57 - height), (x, 55)], 0.7, light)
    canvas.fill(ellipse(50, 53.4 - height, 3.4, 2.6), (240, 150, 170))


def _draw_bush(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.stroke([(50, 56), (50, 36)], 2.4, DARK_WOOD)
    for index in range(16):
        angle, radius = 2 * pi * index / 8, 11.5 if index < 8 else 5.0
        x, y = 50 + radius * cos(angle), 30 + radius * sin(angle)
        size = float(rng.uniform(5.5, 7.5))
        canvas.fill(ellipse(x, y, size, size), GREENS[int(rng.integers(4))])


def draw_lamp(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A table lamp, lit, on one of three feet."""
    shades: dict[str, Shape] = {
        "rounded": [*ellipse(50, 45, 27, 29, 180, 360), *ellipse(50, 45, 27, 4, 0, 180)],
        "straight": turned([(23, 18), (23, 30), (23, 45)], 50, bow=4),
        "tapered": turned([(10, 16), (19, 31), (28, 45)], 50, bow=4),
    }
    width = {"rounded": 27, "straight": 23, "tapered": 28}[silhouette]
    canvas.haze(floor_shadow(50, 84, 17))
    beam = [(50.0 - width, 44.0), (50.0 + width, 44.0), (56.0 + width, 84.0), (44.0 - width, 84.0)]
    canvas.haze(beam, GLOW, blur=5.0, strength=0.6)
    foot = int(rng.integers(3))
    if foot == 0:
        canvas.stroke([(50, 44), (50, 82)], 2.6, palette.deep)
        canvas.fill([*ellipse(50, 82, 15, 4, 180, 360), *ellipse(50, 84, 15, 3, 0, 180)], palette.deep)
    elif foot == 1:
        canvas.stroke([(50, 44), (50, 60)], 2.4, STEEL)
        canvas.part(turned([(3, 54), (6, 58), (13, 68), (14, 76), (9, 84)], 50, bow=2), palette.main, "ball")
    else:
        for x in (34, 66, 50):
            canvas.stroke([(50, 52), (x, 85)], 2.4, WOOD if x != 50 else DARK_WOOD)
        canvas.stroke([(50, 44), (50, 54)], 2.6, INK)
    canvas.body(shades[silhouette])
    canvas.fill(ellipse(50, 45, width - 0.8, 3.5), GLOW)
    canvas.fill(ellipse(50, 45, width * 0.45, 1.8), (255, 250, 226))


def draw_clock(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A wall clock that shows any time."""
    bodies: dict[str, Shape] = {
        "rounded": ellipse(50, 50, 34, 34),
        "straight": box(17, 17, 83, 83, 6),
        "tapered": rounded([(35, 15), (65, 15), (85, 85), (15, 85)], 7),
    }
    body = bodies[silhouette]
    cy, radius = (58.0, 20.0) if silhouette == "tapered" else (50.0, 23.0)
    canvas.haze(moved(body, 2.2, 3.4), blur=2.6, strength=0.42)
    canvas.body(body, "sheet")
    canvas.fill(ellipse(50, cy, radius + 1.6, radius + 1.6), palette.deep)
    canvas.fill(ellipse(50, cy, radius, radius), CREAM)
    for hour in range(12):
        outer, inner = (radius - 2, radius - (5.5 if hour % 3 == 0 else 4))
        canvas.stroke([_at(cy, hour / 12, outer), _at(cy, hour / 12, inner)], 1.1, palette.deep)
    minutes = float(rng.integers(720))
    canvas.stroke([(50, cy), _at(cy, minutes / 720, radius * 0.55)], 2.2, INK)
    canvas.stroke([(50, cy), _at(cy, minutes / 60, radius * 0.82)], 1.5, INK)
    canvas.fill(ellipse(50, cy, 1.9, 1.9), palette.accent)


def _at(cy: float, turn: float, radius: float) -> Point:
    """A point on the dial, ``turn`` rounds from the top."""
    return 50 + radius * sin(2 * pi * turn), cy - radius * cos(2 * pi * turn)


def draw_cushion(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A cushion that leans back a little, with piping and a dent."""
    bodies: dict[str, Shape] = {
        "rounded": ellipse(50, 52, 35, 31),
        "straight": _pillow(),
        "tapered": rounded([(24, 28), (50, 25), (76, 28), (93, 78), (50, 81), (7, 78)], 8),
    }
    body = bodies[silhouette]
    canvas.haze(floor_shadow(50, 82, 33))
    canvas.body(body, "ball")
    canvas.stroke([*body, body[0]], 1.5, palette.deep)
    buttons = (
        [50.0] if silhouette == "rounded" else [50 - float(rng.uniform(9, 11)), 50, 50 + float(rng.uniform(9, 11))]
    )
    for x in buttons if silhouette != "straight" else []:
        canvas.fill(ellipse(x, 51, 2.6, 2.3), palette.deep)


def _pillow() -> Shape:
    """A square cushion's outline: four pointed corners and the slack seams between them."""
    quarter: list[Point] = [(1.0, 1.0), (0.52, 0.93), (0.0, 0.91), (-0.52, 0.93)]
    outline: Shape = []
    for _ in range(4):
        outline += [(50 + 34 * x, 52 + 32 * y) for x, y in quarter]
        quarter = [(-y, x) for x, y in quarter]
    return smooth(outline)


def draw_chair(canvas: Canvas, palette: Palette, silhouette: str, rng: np.random.Generator) -> None:
    """A chair seen from the front, upholstered, on wooden or steel legs."""
    backs: dict[str, Shape] = {
        "rounded": ellipse(50, 33, 24, 20),
        "straight": box(27, 13, 73, 49, 3),
        "tapered": rounded([(37, 12), (63, 12), (76, 50), (24, 50)], 7),
    }
    legs, shaded = ((WOOD, DARK_WOOD), (STEEL, (120, 124, 134)), (INK, (30, 28, 36)))[int(rng.integers(3))]
    canvas.haze(floor_shadow(50, 88, 27), blur=2.6)
    for side in (-1, 1):
        canvas.stroke([(50 + side * 15, 44), (50 + side * 17, 60), (50 + side * 18, 82)], 2.8, shaded)
    canvas.body(backs[silhouette], "sheet")
    for side in (-1, 1):
        canvas.stroke([(50 + side * 23, 64), (50 + side * 27, 88)], 3.2, legs)
    canvas.stroke([(28, 66), (72, 66)], 2.6, shaded)
    seat = smooth([(28, 55), (50, 53.5), (72, 55), (79, 63), (76, 67.5), (50, 68.5), (24, 67.5), (21, 63)])
    canvas.body(seat, "sheet")
    canvas.shade([(20, 63.5), (80, 63.5), (80, 70), (20, 70)], seat, 0.2)
    canvas.shade(ellipse(50, 53.5, 24, 2.8), seat, 0.35)
    canvas.stroke([(27, 63.6), (73, 63.6)], 0.5, palette.deep)
