"""The drawing kit's shapes, by their known geometry."""

import numpy as np
import pytest
from PIL import Image

from training.sample.canvas import SUPERSAMPLING, Canvas, Shape, box, ellipse, ring, rounded, smooth, tube, turned

WHITE, RED, BLACK = (255, 255, 255), (255, 0, 0), (0, 0, 0)


def _area(shape: Shape) -> float:
    """The shoelace formula."""
    x, y = np.array(shape).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _canvas(size: int = 40) -> Canvas:
    pixels = size * SUPERSAMPLING
    return Canvas(size, Image.new("RGB", (pixels, pixels), WHITE), Image.new("RGB", (pixels, pixels), RED), BLACK)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (ellipse(50, 50, 20, 10), np.pi * 200),
        (box(10, 20, 40, 30), 300.0),
        (box(10, 20, 40, 40, 5), 600 - (4 - np.pi) * 25),
        (ring(50, 50, 20, 20, 5, 0, 180), np.pi * (400 - 225) / 2),
        (turned([(10, 20), (10, 30), (10, 40)]), 400.0),
        (tube([(0, 0), (10, 0), (20, 0)], 4), 80.0),
        (tube([(0, 0), (10, 0), (20, 0)], 4, 2), 60.0),
        (rounded([(0, 0), (10, 0), (10, 10), (0, 10)], 3), 100 - 4 * 9 / 6),
    ],
)
def test_shapes_have_their_known_area(shape: Shape, area: float) -> None:
    assert _area(shape) == pytest.approx(area, rel=0.01)


def test_a_smooth_curve_passes_through_its_points() -> None:
    points = [(10.0, 10.0), (40.0, 15.0), (60.0, 50.0), (20.0, 70.0)]
    assert set(points) <= set(smooth(points))
    assert set(points) <= set(smooth(points, closed=False))


def test_a_turned_shape_is_symmetric() -> None:
    shape = turned([(10, 20), (20, 40), (5, 60)], cx=30, bow=4)
    mirrored = {(round(60 - x, 6), round(y, 6)) for x, y in shape}
    assert {(round(x, 6), round(y, 6)) for x, y in shape} == mirrored


def test_filling_paints_inside_and_only_inside() -> None:
    canvas = _canvas()
    canvas.fill(box(25, 25, 75, 75), RED)
    picture = np.asarray(canvas.finish())
    assert picture.shape == (40, 40, 3)
    assert picture[20, 20].tolist() == list(RED)
    assert picture[2, 2].tolist() == list(WHITE)


def test_edges_are_antialiased() -> None:
    canvas = _canvas()
    canvas.fill(ellipse(50, 50, 30, 30), BLACK)
    assert len(np.unique(np.asarray(canvas.finish())[..., 0])) > 5


def test_a_body_is_shaded_away_from_the_light() -> None:
    canvas = _canvas()
    canvas.body(box(10, 10, 90, 90), "cylinder")
    picture = np.asarray(canvas.finish(), dtype=float).sum(axis=2)
    assert picture[20, 11] > picture[20, 20] > picture[20, 33]


def test_a_shape_that_leaves_the_picture_is_cut_off() -> None:
    canvas = _canvas()
    canvas.body(box(-20, -20, 50, 50), "sheet")
    canvas.part(box(120, 120, 140, 140), RED)
    assert np.asarray(canvas.finish())[30, 30].tolist() == list(WHITE)
