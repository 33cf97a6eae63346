"""Picture files to pixels: formats, orientation, transparency, damage."""

import io

import numpy as np
import pytest
from PIL import Image

from model.encoders import decode
from model.errors import DataError


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_usual_formats_decode_to_rgb(kind: str) -> None:
    picture = decode(encoded(Image.new("RGB", (16, 8), (200, 30, 30)), kind))
    assert (picture.mode, picture.size) == ("RGB", (16, 8))
    np.testing.assert_allclose(np.asarray(picture).mean((0, 1)), (200, 30, 30), atol=6)


def test_a_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert decode(encoded(Image.new("RGB", (16, 8)), "JPEG", exif=exif)).size == (8, 16)


def test_transparent_parts_become_white() -> None:
    assert decode(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_damage_is_a_data_error() -> None:
    whole = encoded(Image.effect_noise((64, 64), 50), "JPEG")
    for data in (b"", b"no picture", whole[: len(whole) // 2]):
        with pytest.raises(DataError, match="does not decode"):
            decode(data)
