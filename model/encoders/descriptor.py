"""A classical description of a picture: where which colours, edge directions and textures are.

Three blocks of histograms over grids of cells, so that both what is there and about where it is counts:

- **colour**: lightness x chroma x hue in CIE Lab (D65), square roots of shares;
- **gradient**: edge directions weighted by strength, as in HOG (Dalal and Triggs, 2005), square roots after contrast
  normalisation in each cell;
- **texture**: rotation-invariant uniform local binary patterns (Ojala et al., 2002), square roots of shares.

The square root makes Euclidean distance that of Hellinger, so that one large plain area does not drown the rest.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.encoders.decoding import to_rgb

VERSION = 1  # of the numbers that this module computes; a fitted encoder holds for one version
SIDE = 96  # a picture is stretched to SIDE x SIDE pixels

_COLOUR_GRIDS = (1, 2, 3)
_GRADIENT_GRIDS = (2, 4, 8)
_TEXTURE_GRIDS = (1, 2, 4)
_LIGHTNESS_BINS = 4
_HUES = 12
_CHROMA_EDGES = (10.0, 35.0)  # below the first a colour is grey and has no hue
_COLOURS = 1 + len(_CHROMA_EDGES) * _HUES
_DIRECTIONS = 9
_FAINT_EDGE = 2.0  # mean lightness step, of 100, under which a cell's edges fade out rather than being amplified
_PATTERNS = 10


def _cells(grids: tuple[int, ...]) -> int:
    return sum(grid * grid for grid in grids)


DIMS = (
    _LIGHTNESS_BINS * _COLOURS * _cells(_COLOUR_GRIDS),
    _DIRECTIONS * _cells(_GRADIENT_GRIDS),
    _PATTERNS * _cells(_TEXTURE_GRIDS),
)  # the blocks' lengths

Values = NDArray[np.float32]
Bins = NDArray[np.int64]


class Blocks(NamedTuple):
    """The descriptor's blocks, each a float32 vector of fixed length."""

    colour: Values
    gradient: Values
    texture: Values


def describe(image: Image.Image) -> Blocks:
    """The blocks of one decoded picture of any mode and size; a transparent one is laid on white."""
    lab = to_lab(to_pixels(image))
    return Blocks(colour=_colour(lab), gradient=_gradient(lab[..., 0]), texture=_texture(lab[..., 0]))


def to_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The picture as ``(SIDE, SIDE, 3)`` uint8 sRGB."""
    return np.asarray(to_rgb(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def to_lab(rgb: NDArray[np.uint8]) -> Values:
    """CIE Lab (D65) ``(..., 3)`` float32 of sRGB ``(..., 3)`` uint8: lightness 0 to 100, a and b about -100 to 100."""
    xyz = _LINEAR[rgb] @ _TO_XYZ.T
    curve = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = curve[..., 0], curve[..., 1], curve[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def _linear_light() -> Values:
    """Linear light 0 to 1 of the 256 sRGB values (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_light()
_SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_TO_XYZ = (_SRGB_TO_XYZ / _SRGB_TO_XYZ.sum(axis=1, keepdims=True)).astype(np.float32)  # white is (1, 1, 1)


def _colour(lab: Values) -> Values:
    hue = np.arctan2(lab[..., 2], lab[..., 1]) / (2 * np.pi) * _HUES
    chroma = np.digitize(np.hypot(lab[..., 1], lab[..., 2]), _CHROMA_EDGES)
    hued = 1 + (chroma - 1) * _HUES + np.floor(hue).astype(np.int64) % _HUES
    lightness = np.clip(lab[..., 0] / 100 * _LIGHTNESS_BINS, 0, _LIGHTNESS_BINS - 1).astype(np.int64)
    bins = lightness * _COLOURS + np.where(chroma == 0, 0, hued)
    return _root_shares(bins, _LIGHTNESS_BINS * _COLOURS, _COLOUR_GRIDS)


def _gradient(lightness: Values) -> Values:
    down, right = np.gradient(lightness)
    strength = np.hypot(right, down)
    direction = np.arctan2(down, right) / np.pi * _DIRECTIONS
    lower = np.floor(direction)
    upper_share = direction - lower
    bins = lower.astype(np.int64) % _DIRECTIONS
    parts = []
    for grid in _GRADIENT_GRIDS:
        cells = _histograms(bins, strength * (1 - upper_share), _DIRECTIONS, grid)
        cells += _histograms((bins + 1) % _DIRECTIONS, strength * upper_share, _DIRECTIONS, grid)
        cells /= (SIDE / grid) ** 2
        cells /= np.linalg.norm(cells, axis=1, keepdims=True) + _FAINT_EDGE
        parts.append(np.sqrt(cells).ravel() / grid)
    return np.concatenate(parts).astype(np.float32)


def _texture(lightness: Values) -> Values:
    """Patterns of the 8 neighbours that are lighter than the centre by a step that the eye sees."""
    centre = lightness[1:-1, 1:-1] + 1
    around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    height, width = centre.shape
    lighter = np.stack([lightness[y : y + height, x : x + width] >= centre for y, x in around]).astype(np.int64)
    changes = np.abs(lighter - np.roll(lighter, 1, axis=0)).sum(axis=0)
    pattern = np.where(changes <= 2, lighter.sum(axis=0), _PATTERNS - 1)
    return _root_shares(pattern, _PATTERNS, _TEXTURE_GRIDS)


def _root_shares(bins: Bins, count: int, grids: tuple[int, ...]) -> Values:
    """Square roots of each bin's share in each cell; every grid has the same total weight."""
    parts = []
    for grid in grids:
        cells = _histograms(bins, None, count, grid)
        parts.append(np.sqrt(cells / cells.sum(axis=1, keepdims=True)).ravel() / grid)
    return np.concatenate(parts).astype(np.float32)


def _histograms(bins: Bins, weights: Values | None, count: int, grid: int) -> NDArray[np.float64]:
    """Weighted counts ``(grid * grid, count)`` of the bins ``(S, S)`` in each cell of a grid, row by row."""
    band = np.arange(len(bins)) * grid // len(bins)
    cell = band[:, None] * grid + band
    flat = None if weights is None else weights.ravel()
    counts = np.bincount((cell * count + bins).ravel(), weights=flat, minlength=grid * grid * count)
    return counts.reshape(grid * grid, count).astype(np.float64)
