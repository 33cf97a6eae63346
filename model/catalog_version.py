"""What a published catalog version consists of: its files, cut into chunks, and the SHA-256 of every chunk.

A catalog's version is a hash of its content, so publishing equal content twice changes nothing, and whoever fetched a
version can prove that it is the one that was asked for.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, NonNegativeInt, PositiveInt, StringConstraints, ValidationError

from model.catalog import VERSION_LENGTH, read_header
from model.config import Config
from model.errors import BundleError

CHUNK_BYTES = 8 << 20
"""Bytes of one chunk: a value of this size neither blocks a Redis server for long nor needs many round trips."""

_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_LENGTH}}}")


def _inside(name: str) -> str:
    """A manifest comes from outside, so a file name may not lead out of the catalog's folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is no path inside a catalog folder")
    return name


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class StoredFile(Config):
    """One file of a catalog: its POSIX path in the folder, and the hash of each of its chunks in order."""

    name: Annotated[str, AfterValidator(_inside)]
    size: NonNegativeInt
    chunks: tuple[Sha256, ...]

    def verified(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yields ``chunks`` while they are the ones that this file is made of.

        Raises:
            BundleError: at the first chunk whose SHA-256 is another.
        """
        for number, (chunk, expected) in enumerate(zip(chunks, self.chunks, strict=True)):
            actual = hashlib.sha256(chunk).hexdigest()
            if actual != expected:
                raise BundleError(
                    f"chunk {number} of {self.name} has SHA-256 {actual} where its manifest says {expected}; "
                    "publish the catalog again"
                )
            yield chunk


class CatalogVersion(Config):
    """The manifest of one published catalog version.

    Attributes:
        format: of this manifest.
        version: the catalog's own version, a hash of its content.
        space_hash: the ID space of its codes; a generator of another one cannot search it.
        items: N.
        published: when it was published last, by the publisher's clock.
        chunk_bytes: the size of every chunk but the last of a file.
        files: all files of the catalog's folder, by name.
    """

    format: Literal[1] = 1
    version: str
    space_hash: str
    items: NonNegativeInt
    published: AwareDatetime
    chunk_bytes: PositiveInt
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @classmethod
    def of_folder(cls, folder: Path, chunk_bytes: int = CHUNK_BYTES) -> "CatalogVersion":
        """Describes the catalog that lies in ``folder``.

        Raises:
            BundleError: if there is none, or its header cannot be read.
        """
        header = read_header(folder)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return cls(
            version=check_version(header.version),
            space_hash=header.space_hash,
            items=header.items,
            published=datetime.now(UTC),
            chunk_bytes=chunk_bytes,
            files=tuple(_describe(path, path.relative_to(folder).as_posix(), chunk_bytes) for path in paths),
        )

    @classmethod
    def parse(cls, version: str, manifest: bytes) -> "CatalogVersion":
        """Reads the manifest that was stored as ``version``.

        Raises:
            BundleError: if it is damaged, of an unknown format, or another version's.
        """
        try:
            parsed = cls.model_validate_json(manifest)
        except ValidationError as error:
            raise BundleError(f"the manifest of catalog version {version} cannot be read: {error}") from error
        if parsed.version != version:
            raise BundleError(f"the manifest stored as catalog version {version} describes version {parsed.version}")
        return parsed


def check_version(version: str) -> str:
    """Returns ``version`` if it has the form of one; it becomes part of paths and keys.

    Raises:
        BundleError: if it has not.
    """
    if not _VERSION.fullmatch(version):
        raise BundleError(f"{version!r} is no catalog version: {VERSION_LENGTH} hexadecimal digits are expected")
    return version


def read_chunks(path: Path, count: int, chunk_bytes: int) -> Iterator[bytes]:
    """Yields ``count`` chunks of a file; from a file that is too short the last ones are short or empty."""
    with path.open("rb") as file:
        for _ in range(count):
            yield file.read(chunk_bytes)


def _describe(path: Path, name: str, chunk_bytes: int) -> StoredFile:
    size = path.stat().st_size
    chunks = read_chunks(path, -(-size // chunk_bytes), chunk_bytes)
    return StoredFile(name=name, size=size, chunks=tuple(hashlib.sha256(chunk).hexdigest() for chunk in chunks))
