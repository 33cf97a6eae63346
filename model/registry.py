"""Versions of bundles and catalogs: publish them, ask which are served, fetch one with every hash verified, roll back.

A RELEASE is the pair that is served together, and one pointer names it. Where things are kept is a store's affair
(Redis, or a folder for those without one); the order of the steps is decided here. A publisher writes chunks, and then
one atomic step makes the manifests known and moves the pointer, so that one killed at any moment leaves the pointer on
a complete release. Nothing is ever overwritten with other content: a version is a hash of its content, and so is the
name of a chunk, hence what two versions have in common is stored once.

A bundle is stored without the catalog that it was exported with: that one is published as a catalog of its own, and the
release names both.
"""

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from model.bundle import CATALOG_FOLDER, Bundle
from model.durable_files import named_errors, sync_folder, write_durably
from model.errors import BundleError, OvertakenError, RegistryError
from model.folder_store import FolderStore
from model.published import CHUNK_BYTES, Published, StoredFile, read_chunks, version_in
from model.redis_store import RedisStore
from model.release import Release, VersionKey

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

UNFINISHED_SECONDS = 3600.0
"""How long chunks that no manifest names are left alone: their publisher may still be writing."""


class Store(Protocol):
    """Where versions are kept. Every method raises RegistryError if the store does not answer or refuses."""

    def write_chunk(self, sha256: str, chunk: bytes) -> None:
        """Keeps a chunk, and notes that it was written now."""

    def read_chunk(self, sha256: str) -> bytes | None:
        """The chunk, unverified, or None if it is missing."""

    def read_manifest(self, key: VersionKey) -> bytes | None:
        """The manifest of a version, or None if it is unknown."""

    def known(self) -> list[VersionKey]:
        """All versions with a manifest, in no particular order."""

    def current(self) -> Release | None:
        """What the pointer names, or None before the first release."""

    def release(
        self, release: Release, manifests: Mapping[VersionKey, bytes], chunks: Collection[str], after: Release | None
    ) -> bool:
        """Makes versions known and moves the pointer to ``release``, in one atomic step, and announces it.

        Returns:
            False, with nothing changed, if the pointer is no longer at ``after``.

        Raises:
            RegistryError: if one of ``chunks`` is not there; nothing has changed then.
        """

    def withdraw(self) -> Release | None:
        """Moves the pointer back to the release before, in one atomic step; None if there is none."""

    def forget(self, keep: int) -> list[VersionKey]:
        """In one atomic step, drops all releases but the last ``keep``, and the manifests that none of these names."""

    def sweep(self, in_use: Callable[[], Collection[str]], unused_seconds: float) -> int:
        """Deletes chunks that are not ``in_use`` and were not touched for a while; returns how many.

        What is in use is asked for so that a release which comes meanwhile loses nothing.
        """

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``, or as soon as a release is announced, if announcements arrive at all."""

    def close(self) -> None:
        """Ends waiting and frees connections."""


class Collected(NamedTuple):
    """What a garbage collection removed."""

    versions: list[VersionKey]
    chunks: int


class Registry:
    """Bundles, catalogs and releases in one store.

    Every method raises RegistryError if the store cannot be reached or refuses, and BundleError for a version that is
    damaged, incomplete or unknown.
    """

    def __init__(self, store: Store, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Cuts what it publishes into chunks of ``chunk_bytes``."""
        self._store = store
        self._chunk_bytes = chunk_bytes

    def publish(
        self, bundle: Path | None = None, catalog: Path | None = None, *, replaces: Release | None = None
    ) -> Release:
        """Stores what lies in the folders and makes it the current release.

        A bundle alone is released with the catalog that it was exported with; a catalog alone with the bundle of the
        release before, if there is one. Publishing the same content again gives the same versions and writes it anew,
        which mends lost chunks.

        Args:
            bundle: folder of a bundle, or None.
            catalog: folder of a catalog, or None.
            replaces: the release that the content was made from; any, if not given.

        Raises:
            BundleError: if a part is damaged, or the parts are of two ID spaces; nothing is released then.
            OvertakenError: if the current release is not ``replaces``; nothing is released then.
        """
        versions = self._store_folders(bundle, catalog)
        manifests = {version.key: version.model_dump_json().encode() for version in versions}
        chunks = set().union(*(version.chunks for version in versions))
        while True:
            current = self._store.current()
            if replaces is not None and current != replaces:
                raise OvertakenError(f"{current} was released after {replaces}, which this was made from; do it again")
            release = self._next_release(versions, current)
            if self._store.release(release, manifests, chunks, current):
                return release

    def current(self) -> Release | None:
        """The current release, or None if nothing was ever published."""
        return self._store.current()

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``; a release that is announced meanwhile cuts the wait short.

        Announcements get lost, so whoever follows the pointer looks at it after every wait. Nothing is raised.
        """
        self._store.wait(seconds)

    def describe(self, key: VersionKey) -> Published:
        """The manifest of a version: its ID space, size and files, without any of the files."""
        manifest = self._store.read_manifest(key)
        if manifest is None:
            raise BundleError(f"{key} is not in the registry; publish it again")
        return Published.parse(key, manifest)

    def download(self, key: VersionKey, target: Path, share: float = 1.0) -> None:
        """Writes a version into the folder ``target``, which appears only when it is complete and verified.

        Args:
            key: names it.
            target: a folder that is not there yet, in one that is.
            share: of the time that may be spent on it; below 1 it pauses after every chunk, for the sake of others.

        Raises:
            OSError: if it cannot be written.
        """
        published = self.describe(key)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            for file in published.files:
                write_durably(partial / file.name, _paced(file.verified(self._chunks(file)), share))
            if (found := version_in(key.kind, partial)) != key:
                raise BundleError(f"the files stored as {key} are of {found}; publish it again")
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync_folder(target.parent)

    def versions(self) -> list[Published]:
        """All versions in the store, the oldest publication first."""
        return sorted(self._described(), key=lambda version: (version.published, version.kind))

    def rollback(self) -> Release:
        """Makes the release current that was so before the current one; returns it.

        Rolling back again goes one release further back, and a later publication starts from there.
        """
        release = self._store.withdraw()
        if release is None:
            raise RegistryError("there is no earlier release to roll back to; publish one")
        return release

    def collect_garbage(self, keep: int, unfinished_seconds: float = UNFINISHED_SECONDS) -> Collected:
        """Removes everything that the last ``keep`` releases (at least 1, so never the current one) do not need.

        Chunks stay while a version that is kept has them, and for ``unfinished_seconds`` after they were last written
        or read, because a publisher that has not finished has named them nowhere yet. What a killed one left goes then.
        """
        forgotten = self._store.forget(max(keep, 1))
        return Collected(forgotten, self._store.sweep(self._chunks_in_use, unfinished_seconds))

    def close(self) -> None:
        """Ends waiting and frees the store's connections."""
        self._store.close()

    def _store_folders(self, bundle: Path | None, catalog: Path | None) -> list[Published]:
        """Writes the chunks of what lies in the folders; the last version returned is the catalog's."""
        folders = []
        versions = []
        if bundle is not None:
            verified = Bundle.load(bundle, with_catalog=catalog is None)
            folders.append(bundle)
            with named_errors(BundleError, f"bundle {bundle}"):
                versions.append(Published.of_bundle(verified, self._chunk_bytes))
            catalog = catalog or bundle / CATALOG_FOLDER
        assert catalog is not None, "there is nothing to publish without a bundle or a catalog"
        folders.append(catalog)
        with named_errors(BundleError, f"catalog {catalog}"):
            versions.append(Published.of_catalog(catalog, self._chunk_bytes))
        _check_spaces(versions[0], versions[-1])
        for version, folder in zip(versions, folders, strict=True):
            with named_errors(BundleError, str(folder)):
                self._write(version, folder)
        return versions

    def _write(self, version: Published, folder: Path) -> None:
        for file in version.files:
            chunks = read_chunks(folder / file.name, len(file.chunks), version.chunk_bytes)
            # Verified once more: a file that somebody changes while it is published must not get through.
            for sha256, chunk in zip(file.chunks, file.verified(chunks), strict=True):
                self._store.write_chunk(sha256, chunk)

    def _next_release(self, versions: list[Published], current: Release | None) -> Release:
        """What ``versions`` make of the current release."""
        *bundles, catalog = versions
        if bundles:
            return Release(bundle=bundles[0].version, catalog=catalog.version)
        if current is None or current.bundle is None:
            return Release(bundle=None, catalog=catalog.version)
        _check_spaces(self.describe(VersionKey.of("bundle", current.bundle)), catalog)
        return Release(bundle=current.bundle, catalog=catalog.version)

    def _described(self) -> Iterator[Published]:
        """The manifests of all versions, but of those that garbage collection removes meanwhile."""
        for key in self._store.known():
            manifest = self._store.read_manifest(key)
            if manifest is not None:
                yield Published.parse(key, manifest)

    def _chunks_in_use(self) -> set[str]:
        return set().union(*(version.chunks for version in self._described()))

    def _chunks(self, file: StoredFile) -> Iterator[bytes]:
        for number, sha256 in enumerate(file.chunks):
            chunk = self._store.read_chunk(sha256)
            if chunk is None:
                raise BundleError(f"chunk {number} of {file.name} ({sha256}) is missing; publish it again")
            yield chunk


def _paced(chunks: Iterator[bytes], share: float) -> Iterator[bytes]:
    """Yields ``chunks`` and pauses after each, so that getting and using them takes ``share`` of the time."""
    while True:
        started = time.monotonic()
        chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
        time.sleep((time.monotonic() - started) * (1 / share - 1))


def _check_spaces(bundle: Published, catalog: Published) -> None:
    """Raises BundleError unless both are of one ID space."""
    if bundle.space_hash != catalog.space_hash:
        raise BundleError(
            f"{catalog.key} is of ID space {catalog.space_hash}, {bundle.key} of {bundle.space_hash}; "
            "publish the catalog together with its own bundle"
        )


def open_registry(location: str | Path, timeout: float = 5.0) -> Registry:
    """The registry at a Redis URL (``redis://``, ``rediss://`` or ``unix://``) or in a folder.

    ``timeout`` bounds, in seconds, connecting to Redis and each wait for its answer; nothing is retried.

    Raises:
        ConfigError: if the URL cannot be understood.
    """
    if str(location).startswith(REDIS_SCHEMES):
        return Registry(RedisStore(str(location), timeout))
    return Registry(FolderStore(Path(location)))
