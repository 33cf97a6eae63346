"""Item images, read by name from a folder or a zip archive."""

import io
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from PIL import Image

from model.encoders.decoding import BROKEN, decode
from model.errors import DataError

FOLDER, ARCHIVE = "images", "images.zip"
_BROKEN_ENTRY = (OSError, ValueError, EOFError, struct.error, zlib.error, zipfile.BadZipFile)


class ImageSource(ABC):
    """Images by name. Names are relative POSIX paths; a name that leads out of the source is in none."""

    def __init__(self, path: Path) -> None:
        """Remembers where the images are."""
        self.path = path

    @abstractmethod
    def __contains__(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def read_bytes(self, name: str) -> bytes:
        """The file as it is stored.

        Raises:
            DataError: if there is no such file or it cannot be read.
        """

    def checksum(self, name: str) -> int:
        """CRC-32 of the file, so that a replaced image can be noticed.

        Raises:
            DataError: if there is no such file or it cannot be read.
        """
        return zlib.crc32(self.read_bytes(name))

    def read(self, name: str) -> Image.Image:
        """The image in RGB, upright as its EXIF orientation says, transparent parts on white.

        Raises:
            DataError: if there is no such file or it does not decode.
        """
        data = self.read_bytes(name)
        try:
            return decode(data)
        except DataError as error:
            raise self._error(name, str(error)) from error

    def verify(self, name: str) -> None:
        """Decodes the image to its end at the smallest scale its format offers; several times faster than reading.

        Pillow's own ``verify`` looks at a JPEG's header only, so that it passes files that are cut off.

        Raises:
            DataError: if there is no such file or it does not decode.
        """
        data = self.read_bytes(name)
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.draft("L", (1, 1))
                image.load()
        except BROKEN as error:
            raise self._error(name, f"does not decode ({error})") from error

    def _error(self, name: str, what: str) -> DataError:
        return DataError(f"image {name!r} in {self.path} {what}; mend or remove the file")


class ImageFolder(ImageSource):
    """Images that are files below a folder."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a file of that name below the folder."""
        path = PurePosixPath(name)
        return not path.is_absolute() and ".." not in path.parts and (self.path / path).is_file()

    def read_bytes(self, name: str) -> bytes:
        """The file's content."""
        if name not in self:
            raise self._error(name, "does not exist")
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise self._error(name, f"cannot be read ({error})") from error


class ImageArchive(ImageSource):
    """Images in a zip archive, at its top or all in one folder ``images/``."""

    def __init__(self, path: Path) -> None:
        """Reads the archive's directory and keeps the archive open.

        Raises:
            DataError: if the file is not a zip archive.
        """
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a readable zip archive ({error})") from error
        files = [info for info in self._zip.infolist() if not info.is_dir()]
        self._files = {info.filename.removeprefix(f"{FOLDER}/"): info for info in files}

    def __contains__(self, name: str) -> bool:
        """Whether the archive lists a file of that name."""
        return name in self._files

    def read_bytes(self, name: str) -> bytes:
        """The file's content, its checksum verified."""
        if name not in self:
            raise self._error(name, "does not exist")
        try:
            return self._zip.read(self._files[name])
        except (*_BROKEN_ENTRY, NotImplementedError, RuntimeError) as error:  # a method unknown to zipfile, a password
            raise self._error(name, f"cannot be read ({error})") from error

    def checksum(self, name: str) -> int:
        """CRC-32 from the archive's directory, without reading the file."""
        if name not in self:
            raise self._error(name, "does not exist")
        return self._files[name].CRC


def open_images(data: Path, name: str | None = None) -> ImageSource | None:
    """The images of a data folder: the folder or archive ``name``, by default ``images/`` or ``images.zip``.

    Returns:
        None if no name was given and the data folder has neither.

    Raises:
        DataError: if ``name`` does not exist, or if there are both a folder and an archive to choose from.
    """
    candidates = [data / name] if name else [data / FOLDER, data / ARCHIVE]
    found = [path for path in candidates if path.exists()]
    if name and not found:
        raise DataError(f"{candidates[0]} does not exist; name the folder or zip archive that holds the images")
    if len(found) > 1:
        raise DataError(f"{data} has both {FOLDER}/ and {ARCHIVE}; remove one or name the one to use in the config")
    if not found:
        return None
    return ImageFolder(found[0]) if found[0].is_dir() else ImageArchive(found[0])
