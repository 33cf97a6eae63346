import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import DataError
from training.images import ARCHIVE, FOLDER, ImageSource, open_images


def encoded(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


FILES = {"1.jpg": encoded("JPEG"), "sub/2.png": encoded("PNG"), "cut.jpg": encoded("JPEG")[:-400], "text.jpg": b"no"}


@pytest.fixture(params=["folder", "zip", "zip with a top folder"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> ImageSource:
    (tmp_path / "secret.jpg").write_bytes(FILES["1.jpg"])
    if request.param == "folder":
        for name, data in FILES.items():
            path = tmp_path / FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    else:
        top = "images/" if request.param == "zip with a top folder" else ""
        with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as archive:
            for name, data in FILES.items():
                archive.writestr(top + name, data)
    source = open_images(tmp_path)
    assert source is not None
    return source


@pytest.mark.parametrize("name", ["1.jpg", "sub/2.png"])
def test_images_are_read_as_rgb(images: ImageSource, name: str) -> None:
    image = images.read(name)
    assert name in images
    assert (image.mode, image.size) == ("RGB", (40, 30))
    images.verify(name)


@pytest.mark.parametrize("name", ["cut.jpg", "text.jpg"])
def test_an_image_that_does_not_decode_is_named(images: ImageSource, name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}'.*does not decode"):
        images.read(name)
    with pytest.raises(DataError, match=f"'{name}'.*does not decode"):
        images.verify(name)


@pytest.mark.parametrize("name", ["absent.jpg", "../secret.jpg", "sub/../../secret.jpg", "/etc/hostname", "", "a\0b"])
def test_a_name_outside_the_source_does_not_exist(images: ImageSource, name: str) -> None:
    assert name not in images
    for use in (images.read, images.checksum):
        with pytest.raises(DataError, match="does not exist"):
            use(name)


def test_folder_and_archive_agree_on_checksums(images: ImageSource) -> None:
    assert images.checksum("1.jpg") == zlib.crc32(FILES["1.jpg"])


def test_transparency_becomes_white_and_rotation_is_undone(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / FOLDER / "clear.png")
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / FOLDER / "palette.png", transparency=bytes([0]))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / FOLDER / "rotated.jpg", exif=rotated)
    images = open_images(tmp_path)
    assert images is not None
    assert images.read("clear.png").getpixel((0, 0)) == (255, 255, 255)
    assert images.read("palette.png").getpixel((0, 0)) == (255, 255, 255)
    assert images.read("rotated.jpg").size == (4, 8)


def test_a_data_folder_without_images_has_no_source(tmp_path: Path) -> None:
    assert open_images(tmp_path) is None


def test_a_named_source_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="posters"):
        open_images(tmp_path, "posters")


def test_two_sources_are_ambiguous(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / ARCHIVE).write_bytes(b"")
    with pytest.raises(DataError, match="both"):
        open_images(tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"PK")
    with pytest.raises(DataError, match=r"images\.zip is not a readable zip"):
        open_images(tmp_path)


def test_a_damaged_member_of_an_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.jpg", FILES["1.jpg"])
    data = bytearray(path.read_bytes())
    data[100] ^= 255
    path.write_bytes(bytes(data))
    images = open_images(tmp_path)
    assert images is not None
    with pytest.raises(DataError, match=r"'1\.jpg'.*cannot be read"):
        images.read("1.jpg")
