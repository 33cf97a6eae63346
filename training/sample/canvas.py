"""A small drawing kit on top of Pillow: smooth shapes, shaded surfaces, everything drawn large and scaled down.

Coordinates are in a square of 100 x 100 units, x to the right, y down, whatever the picture's size in pixels. A shape
is a closed polygon, a list of points.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import cos, hypot, pi, sin

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Shape = list[Point]
Colour = tuple[int, int, int]

UNITS = 100.0
SUPERSAMPLING = 3
SHADOW = (38, 30, 48)
LIGHT = (255, 252, 244)
OUTLINE = 0.8


class Canvas:
    """A picture in the making: a background and, painted over it one after another, shapes."""

    def __init__(self, size: int, background: Image.Image, surface: Image.Image, edge: Colour) -> None:
        """Starts on ``background``; bodies are cut from ``surface``. Both are ``size * SUPERSAMPLING`` pixels square.

        ``edge`` is the colour of a body's thin outline, which keeps pale patterns apart from a pale background.
        """
        self.size = size
        self._pixels = size * SUPERSAMPLING
        self._scale = self._pixels / UNITS
        self._image = background.copy()
        self._surface = surface
        self._edge = edge

    def body(self, shape: Shape, relief: str = "cylinder") -> None:
        """Cuts the shape from the patterned surface and shades it as ``relief`` says: cylinder, ball or sheet."""
        box = self._box(shape)
        self._paste(self._surface.crop(box), shape, box, relief)

    def part(self, shape: Shape, colour: Colour, relief: str = "sheet") -> None:
        """Paints the shape in one colour and shades it like a body."""
        box = self._box(shape)
        self._paste(Image.new("RGB", (box[2] - box[0], box[3] - box[1]), colour), shape, box, relief)

    def _paste(self, face: Image.Image, shape: Shape, box: tuple[int, int, int, int], relief: str) -> None:
        dark, light = (mask.resize(face.size) for mask in _relief(relief))
        for mask, colour, strength in ((dark, SHADOW, 0.42), (light, LIGHT, 0.38)):
            blended = Image.blend(face, Image.new("RGB", face.size, colour), strength)
            face = Image.composite(blended, face, mask)
        self._image.paste(face, box[:2], self._mask(shape, box))
        self.stroke([*shape, shape[0]], OUTLINE, self._edge)

    def fill(self, shape: Shape, colour: Colour, opacity: float = 1.0) -> None:
        """Paints the shape in one colour."""
        if opacity >= 1.0:
            ImageDraw.Draw(self._image).polygon(self._scaled(shape), fill=colour)
            return
        box = self._box(shape)
        self._image.paste(colour, box, self._mask(shape, box, round(255 * opacity)))

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draws a line of the given width through the points, with round ends and corners."""
        draw = ImageDraw.Draw(self._image)
        scaled = self._scaled(points)
        draw.line(scaled, fill=colour, width=max(1, round(width * self._scale)), joint="curve")
        radius = width * self._scale / 2
        if radius >= 1.5:
            for x, y in (scaled[0], scaled[-1]):
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def haze(self, shape: Shape, colour: Colour = SHADOW, blur: float = 2.0, strength: float = 0.34) -> None:
        """Lays a blurred image of the shape over the picture: a shadow, or with a light colour a glow."""
        small = Image.new("L", (self.size, self.size), 0)
        ImageDraw.Draw(small).polygon([(x * self.size / UNITS, y * self.size / UNITS) for x, y in shape], fill=255)
        small = small.filter(ImageFilter.GaussianBlur(blur * self.size / UNITS)).point(lambda value: value * strength)
        mask = small.resize((self._pixels, self._pixels), Image.Resampling.BILINEAR)
        self._image.paste(colour, (0, 0), mask)

    def shade(self, shape: Shape, within: Shape, strength: float = 0.22) -> None:
        """Darkens the shape where it lies on ``within``: a fold, a seam or a cast shadow on a body."""
        box = self._box(shape)
        mask = ImageChops.multiply(self._mask(shape, box, round(255 * strength)), self._mask(within, box))
        self._image.paste(SHADOW, box, mask)

    def finish(self) -> Image.Image:
        """The picture at its final size, RGB."""
        return self._image.reduce(SUPERSAMPLING)

    def _scaled(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self._scale, y * self._scale) for x, y in points]

    def _box(self, shape: Shape) -> tuple[int, int, int, int]:
        """The pixels that the shape touches, at least one and none outside the picture."""
        xs, ys = zip(*self._scaled(shape), strict=True)
        left, top = (max(0, min(self._pixels - 1, int(min(values)))) for values in (xs, ys))
        right, bottom = (min(self._pixels, int(max(values)) + 1) for values in (xs, ys))
        return left, top, max(left + 1, right), max(top + 1, bottom)

    def _mask(self, shape: Shape, box: tuple[int, int, int, int], value: int = 255) -> Image.Image:
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        points = [(x - box[0], y - box[1]) for x, y in self._scaled(shape)]
        ImageDraw.Draw(mask).polygon(points, fill=value)
        return mask


@lru_cache
def _relief(name: str) -> tuple[Image.Image, Image.Image]:
    """Where a body of this relief lies in the dark and where in the light, light coming from the upper left."""
    y, x = np.mgrid[0:1:96j, 0:1:96j]
    if name == "cylinder":
        dark = np.clip((x - 0.5) / 0.5, 0, 1) ** 1.6 * 0.75 + np.clip((0.12 - x) / 0.12, 0, 1) * 0.35
        light = np.exp(-(((x - 0.27) / 0.11) ** 2)) * 0.75
    elif name == "ball":
        distance = np.hypot(x - 0.36, y - 0.3)
        dark = np.clip((distance - 0.35) / 0.55, 0, 1) ** 1.5 * 0.9
        light = np.exp(-((distance / 0.2) ** 2)) * 0.8
    else:
        dark = np.clip((x + y - 1.1) / 0.9, 0, 1) * 0.45
        light = np.clip((0.75 - x - y) / 0.75, 0, 1) * 0.5
    return _grey(dark), _grey(light)


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def ellipse(cx: float, cy: float, rx: float, ry: float, begin: float = 0.0, end: float = 360.0) -> Shape:
    """An ellipse, or the part of it between two angles in degrees, clockwise from the right."""
    steps = max(8, int((end - begin) / 360 * 72))
    angles = [(begin + (end - begin) * step / steps) * pi / 180 for step in range(steps + 1)]
    return [(cx + rx * cos(angle), cy + ry * sin(angle)) for angle in angles]


def ring(cx: float, cy: float, rx: float, ry: float, width: float, begin: float, end: float) -> Shape:
    """A curved band along an ellipse, ``width`` wide inwards, between two angles in degrees."""
    outside = ellipse(cx, cy, rx, ry, begin, end)
    inside = ellipse(cx, cy, rx - width, ry - width, begin, end)
    return outside + inside[::-1]


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> Shape:
    """A rectangle with rounded corners."""
    if radius <= 0:
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    west, east, north, south = left + radius, right - radius, top + radius, bottom - radius
    corners = ((east, north, 270), (east, south, 0), (west, south, 90), (west, north, 180))
    return [point for x, y, angle in corners for point in ellipse(x, y, radius, radius, angle, angle + 90)]


def rounded(corners: Sequence[Point], radius: float) -> Shape:
    """A polygon whose corners are rounded off, beginning ``radius`` before each of them."""
    shape = []
    for index, corner in enumerate(corners):
        before = _towards(corner, corners[index - 1], radius)
        after = _towards(corner, corners[(index + 1) % len(corners)], radius)
        for step in range(9):
            t = step / 8
            shape.append(_towards_share(_towards_share(before, corner, t), _towards_share(corner, after, t), t))
    return shape


def _towards(start: Point, end: Point, distance: float) -> Point:
    return _towards_share(start, end, distance / (hypot(end[0] - start[0], end[1] - start[1]) or 1.0))


def _towards_share(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def smooth(points: Sequence[Point], closed: bool = True) -> Shape:
    """A Catmull-Rom curve through the points."""
    count, steps = len(points), 10
    before, behind = ([points[-1]], [points[0], points[1]]) if closed else ([points[0]], [points[-1]])
    controls = [*before, *points, *behind]
    curve = [
        _catmull_rom(controls[index : index + 4], step / steps)
        for index in range(count if closed else count - 1)
        for step in range(steps)
    ]
    return curve if closed else [*curve, points[-1]]


def _catmull_rom(controls: Sequence[Point], t: float) -> Point:
    """The point at share ``t`` of the way between the second and the third of four controls."""
    a, b, c, d = controls

    def along(p: float, q: float, r: float, s: float) -> float:
        return 0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)

    return along(a[0], b[0], c[0], d[0]), along(a[1], b[1], c[1], d[1])


def turned(profile: Sequence[Point], cx: float = 50.0, bow: float = 0.0) -> Shape:
    """A symmetric shape, as if turned on a wheel: ``profile`` lists (half width, y) from top to bottom.

    ``bow`` lets the lower edge sag, as the rim of a vessel seen from slightly above does.
    """
    side = smooth(profile, closed=False)
    width, y = side[-1]
    edge = ellipse(cx, y, width, bow, 0, 180) if bow else []
    return [(cx + width, y) for width, y in side] + edge + [(cx - width, y) for width, y in reversed(side)]


def tube(points: Sequence[Point], width: float, end_width: float | None = None) -> Shape:
    """A band along the points, which may widen or narrow towards its end."""
    last = width if end_width is None else end_width
    left, right = [], []
    for index, (x, y) in enumerate(points):
        before, after = points[max(0, index - 1)], points[min(len(points) - 1, index + 1)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        length = hypot(dx, dy) or 1.0
        half = (width + (last - width) * index / (len(points) - 1)) / 2
        left.append((x - dy / length * half, y + dx / length * half))
        right.append((x + dy / length * half, y - dx / length * half))
    return left + right[::-1]


def moved(shape: Sequence[Point], dx: float, dy: float) -> Shape:
    """The shape, shifted."""
    return [(x + dx, y + dy) for x, y in shape]


def scaled(shape: Sequence[Point], factor: float, centre: Point) -> Shape:
    """The shape, scaled about a centre."""
    return [(centre[0] + (x - centre[0]) * factor, centre[1] + (y - centre[1]) * factor) for x, y in shape]
