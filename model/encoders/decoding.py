"""Picture files to pixels: one way for training and serving, so that a picture gets the same embedding in both."""

import io
import struct
import zlib

from PIL import Image, ImageOps

from model.errors import DataError

# What Pillow raises on damaged files.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def decode(data: bytes) -> Image.Image:
    """The RGB picture of a file's bytes, upright as its EXIF orientation says, transparent parts on white.

    Raises:
        DataError: if the bytes are no picture that Pillow can decode, or one of absurd size; the caller, who knows its
            name, should add that.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return to_rgb(ImageOps.exif_transpose(image))
    except BROKEN as error:
        raise DataError(f"does not decode ({error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB; transparency becomes white, as on a shop's page."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    visible = image.convert("RGBA")
    white = Image.new("RGBA", visible.size, "white")
    return Image.alpha_composite(white, visible).convert("RGB")
