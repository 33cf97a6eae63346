"""What a published bundle or catalog consists of: its files, cut into chunks, and the SHA-256 of every chunk.

A version is a hash of its content, so publishing equal content twice changes nothing, and whoever fetched a version can
prove that it is the one that was asked for.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, NonNegativeInt, PositiveInt, StringConstraints, ValidationError

from model.bundle import MANIFEST_FILE, Bundle, bundle_version, is_of_catalog
from model.catalog_header import read_header
from model.config import Config
from model.errors import BundleError
from model.release import Kind, VersionKey

CHUNK_BYTES = 2 << 20
"""Bytes of one chunk: a value of this size keeps neither a Redis server nor a serving process busy for long, and ten
million items still need only hundreds."""


def _inside(name: str) -> str:
    """A manifest comes from outside, so a file name may not lead out of its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is no path inside its folder")
    return name


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class StoredFile(Config):
    """One file of a version: its POSIX path in the folder, and the hash of each of its chunks in order."""

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
                    "publish it again"
                )
            yield chunk


class Published(Config):
    """The manifest of one published bundle or catalog.

    Attributes:
        format: of this manifest.
        kind: what was published.
        version: its own version, a hash of its content.
        space_hash: its ID space; a bundle and a catalog of two ID spaces cannot be served together.
        items: N of a catalog; None for a bundle, which is published without its own catalog.
        published: when it was published last, by the publisher's clock.
        chunk_bytes: the size of every chunk but the last of a file.
        files: all files, by name.
    """

    format: Literal[1] = 1
    kind: Kind
    version: str
    space_hash: str
    items: NonNegativeInt | None
    published: AwareDatetime
    chunk_bytes: PositiveInt
    files: tuple[StoredFile, ...]

    @property
    def key(self) -> VersionKey:
        """Names it."""
        return VersionKey(self.kind, self.version)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def chunks(self) -> set[str]:
        """The hashes of all chunks of all files."""
        return {chunk for file in self.files for chunk in file.chunks}

    @classmethod
    def of_catalog(cls, folder: Path, chunk_bytes: int = CHUNK_BYTES) -> "Published":
        """Describes the catalog that lies in ``folder``.

        Raises:
            BundleError: if there is none, or its header cannot be read.
        """
        header = read_header(folder)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return cls(
            kind="catalog",
            version=VersionKey.of("catalog", header.version).version,
            space_hash=header.space_hash,
            items=header.items,
            published=datetime.now(UTC),
            chunk_bytes=chunk_bytes,
            files=tuple(_describe(folder, name, chunk_bytes) for name in names),
        )

    @classmethod
    def of_bundle(cls, bundle: Bundle, chunk_bytes: int = CHUNK_BYTES) -> "Published":
        """Describes a verified bundle without its own catalog."""
        names = [MANIFEST_FILE, *sorted(name for name in bundle.manifest.files if not is_of_catalog(name))]
        return cls(
            kind="bundle",
            version=bundle.version,
            space_hash=bundle.manifest.space_hash,
            items=None,
            published=datetime.now(UTC),
            chunk_bytes=chunk_bytes,
            files=tuple(_describe(bundle.folder, name, chunk_bytes) for name in names),
        )

    @classmethod
    def parse(cls, key: VersionKey, manifest: bytes) -> "Published":
        """Reads the manifest that was stored under ``key``.

        Raises:
            BundleError: if it is damaged, of an unknown format, or another version's.
        """
        try:
            parsed = cls.model_validate_json(manifest)
        except ValidationError as error:
            raise BundleError(f"the manifest of {key} cannot be read: {error}; publish it again") from error
        if parsed.key != key:
            raise BundleError(f"the manifest stored as {key} describes {parsed.key}; publish it again")
        return parsed


def version_in(kind: Kind, folder: Path) -> VersionKey:
    """Names the bundle or catalog in ``folder``.

    Raises:
        BundleError: if there is none.
    """
    return VersionKey(kind, bundle_version(folder) if kind == "bundle" else read_header(folder).version)


def read_chunks(path: Path, count: int, chunk_bytes: int) -> Iterator[bytes]:
    """Yields ``count`` chunks of a file; from a file that is too short the last ones are short or empty."""
    with path.open("rb") as file:
        for _ in range(count):
            yield file.read(chunk_bytes)


def _describe(folder: Path, name: str, chunk_bytes: int) -> StoredFile:
    path = folder / name
    size = path.stat().st_size
    chunks = read_chunks(path, -(-size // chunk_bytes), chunk_bytes)
    return StoredFile(name=name, size=size, chunks=tuple(hashlib.sha256(chunk).hexdigest() for chunk in chunks))
