"""Versions of the catalog: publish one, ask which is current, fetch it with every hash verified, roll back.

Where they are kept is a store's affair (Redis, or a folder for those without one); the order of the steps is decided
here. A publisher writes chunks, then the manifest, then moves the pointer, so that one killed at any moment leaves the
pointer on a complete version. Nothing is ever overwritten with other content: a version is a hash of its content.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from model.catalog import read_header
from model.catalog_version import CHUNK_BYTES, CatalogVersion, StoredFile, check_version, read_chunks
from model.durable_files import locked, sync_folder, write_durably
from model.errors import BundleError, RegistryError
from model.folder_store import FolderStore
from model.redis_store import RedisStore

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


class Store(Protocol):
    """Where versions are kept. Every method raises RegistryError if the store does not answer or refuses."""

    def write_chunks(self, version: str, file: StoredFile, chunks: Iterable[bytes]) -> None:
        """Keeps the chunks of one file of ``version``."""

    def read_chunks(self, manifest: CatalogVersion, file: StoredFile) -> Iterator[bytes]:
        """Yields as many chunks as ``file`` lists, unverified; raises BundleError where one is missing."""

    def write_manifest(self, version: str, manifest: bytes) -> None:
        """Makes ``version`` known, all of whose chunks are there."""

    def read_manifest(self, version: str) -> bytes | None:
        """The manifest of ``version``, or None if it is unknown."""

    def known_versions(self) -> list[str]:
        """All versions with a manifest, in no particular order."""

    def current(self) -> str | None:
        """The version that the pointer names, or None before the first release."""

    def release(self, version: str) -> None:
        """Moves the pointer to ``version`` in one atomic step and announces it; nothing if it is there already."""

    def withdraw(self) -> str | None:
        """Moves the pointer back to the release before, in one atomic step; None if there is none."""

    def close(self) -> None:
        """Frees connections."""


class Registry:
    """The catalog's versions in one store.

    Every method raises RegistryError if the store cannot be reached or refuses, and BundleError for a version that is
    damaged, incomplete or unknown.
    """

    def __init__(self, store: Store, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Cuts what it publishes into chunks of ``chunk_bytes``."""
        self._store = store
        self._chunk_bytes = chunk_bytes

    def publish(self, folder: Path) -> str:
        """Stores the catalog in ``folder`` and makes it current; returns its version.

        Publishing the same content again gives the same version and writes it anew, which mends lost chunks.
        """
        manifest = CatalogVersion.of_folder(folder, self._chunk_bytes)
        for file in manifest.files:
            chunks = read_chunks(folder / file.name, len(file.chunks), manifest.chunk_bytes)
            # Verified once more: a file that somebody changes while it is published must not get through.
            self._store.write_chunks(manifest.version, file, file.verified(chunks))
        self._store.write_manifest(manifest.version, manifest.model_dump_json().encode())
        self._store.release(manifest.version)
        return manifest.version

    def current(self) -> str | None:
        """The current version, or None if nothing was ever published."""
        return self._store.current()

    def describe(self, version: str) -> CatalogVersion:
        """The manifest of ``version``: its ID space, size and files, without any of the files."""
        manifest = self._store.read_manifest(check_version(version))
        if manifest is None:
            raise BundleError(f"catalog version {version} is not in the registry; publish it again")
        return CatalogVersion.parse(version, manifest)

    def fetch(self, version: str, into: Path) -> Path:
        """The folder of ``version`` under the cache folder ``into``, downloaded and verified if it is not there yet.

        The folder appears under its name only when it is complete, so what is there is served without asking the
        store. Of several processes that share ``into`` one downloads and the others wait for it.
        """
        target = into / check_version(version)
        try:
            if not target.exists():
                into.mkdir(parents=True, exist_ok=True)
                with locked(into / ".lock"):
                    if not target.exists():
                        self._download(self.describe(version), target)
        except OSError as error:
            raise RegistryError(f"the catalog cache {into} cannot be written: {error}") from error
        return target

    def versions(self) -> list[CatalogVersion]:
        """All versions in the store, the oldest publication first."""
        known = [self.describe(version) for version in self._store.known_versions()]
        return sorted(known, key=lambda version: version.published)

    def rollback(self) -> str:
        """Makes the version current that was so before the current one; returns it.

        Rolling back again goes one release further back, and a later publication starts from there.
        """
        version = self._store.withdraw()
        if version is None:
            raise RegistryError("there is no earlier catalog version to roll back to; publish one")
        return version

    def close(self) -> None:
        """Frees the store's connections."""
        self._store.close()

    def _download(self, manifest: CatalogVersion, target: Path) -> None:
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for file in manifest.files:
                write_durably(partial / file.name, file.verified(self._store.read_chunks(manifest, file)))
            if (found := read_header(partial).version) != manifest.version:
                raise BundleError(f"the files stored as catalog version {manifest.version} are of version {found}")
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync_folder(target.parent)


def open_registry(location: str | Path, timeout: float = 5.0) -> Registry:
    """The registry at a Redis URL (``redis://``, ``rediss://`` or ``unix://``) or in a folder.

    ``timeout`` bounds, in seconds, connecting to Redis and each wait for its answer; nothing is retried.

    Raises:
        ConfigError: if the URL cannot be understood.
    """
    if str(location).startswith(REDIS_SCHEMES):
        return Registry(RedisStore(str(location), timeout))
    return Registry(FolderStore(Path(location)))
