"""The picture descriptor: known colours and shapes drawn with Pillow."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from model.encoders.descriptor import DIMS, Blocks, describe, to_lab


def shape(kind: str, colour: str, size: tuple[int, int] = (120, 120), shift: int = 0) -> Image.Image:
    image = Image.new("RGB", size, "white")
    width, height = size
    box = (width // 4 + shift, height // 4, 3 * width // 4 + shift, 3 * height // 4)
    draw = ImageDraw.Draw(image)
    if kind == "disc":
        draw.ellipse(box, fill=colour)
    else:
        for x in range(box[0], box[2], 12):
            draw.rectangle((x, box[1], x + 5, box[3]), fill=colour)
    return image


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first - second))


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((128, 128, 128), (53.59, 0.0, 0.0)),
    ],
)
def test_lab_has_the_published_values(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(to_lab(np.array(rgb, dtype=np.uint8)), lab, atol=0.05)


def test_blocks_have_the_declared_lengths() -> None:
    blocks = describe(shape("disc", "red"))
    assert tuple(len(block) for block in blocks) == DIMS
    assert all(block.dtype == np.float32 and np.isfinite(block).all() for block in blocks)


def test_colour_is_told_apart_by_the_colour_block_alone() -> None:
    red, blue, stripes = (describe(shape(*drawn)) for drawn in (("disc", "red"), ("disc", "blue"), ("bars", "red")))
    assert distance(red.colour, blue.colour) > 2 * distance(red.colour, stripes.colour)


def test_shape_is_told_apart_by_the_gradient_and_texture_blocks() -> None:
    red = describe(shape("disc", "#c00000"))
    other_colour = describe(shape("disc", "#0000ff"))  # of about the same lightness
    other_shape = describe(shape("bars", "#c00000"))
    assert distance(red.gradient, other_shape.gradient) > 2 * distance(red.gradient, other_colour.gradient)
    assert distance(red.texture, other_shape.texture) > 2 * distance(red.texture, other_colour.texture)


def test_edges_fall_into_the_bins_of_their_direction() -> None:
    upright = Image.new("L", (96, 96), 0)
    upright.paste(255, (48, 0, 96, 96))
    level = upright.transpose(Image.Transpose.ROTATE_90)
    strengths = [describe(image).gradient.reshape(-1, 9).sum(axis=0) for image in (upright, level)]
    assert strengths[0].argmax() == 0
    assert strengths[1].argmax() in {4, 5}


def test_a_shifted_shape_is_nearer_than_another_shape() -> None:
    here, shifted, other = (
        np.concatenate(describe(image))
        for image in (shape("disc", "red"), shape("disc", "red", shift=6), shape("bars", "red"))
    )
    assert distance(here, shifted) < distance(here, other)


def test_scale_changes_little() -> None:
    small, large = (describe(shape("disc", "red", size)) for size in ((120, 120), (480, 480)))
    for first, second in zip(small, large, strict=True):
        assert distance(first, second) < 0.3 * np.linalg.norm(first)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_mode_is_described(mode: str) -> None:
    blocks = describe(shape("disc", "black").convert(mode))
    assert all(np.isfinite(block).all() for block in blocks)


def test_transparent_parts_count_as_white() -> None:
    cut_out = Image.new("RGBA", (96, 96), (255, 0, 0, 0))
    plain = Image.new("RGB", (96, 96), "white")
    for first, second in zip(describe(cut_out), describe(plain), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_plain_picture_has_no_edges() -> None:
    blocks: Blocks = describe(Image.new("RGB", (1, 1), "green"))
    assert not blocks.gradient.any()
