"""Catalog versions in a folder: for one machine without Redis, or on a shared file system.

catalogs/VERSION/...    the files, as they were published
manifests/VERSION.json  written when the files are complete
releases.json           every version that was made current, oldest first; the last one is current
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model.catalog_version import CatalogVersion, StoredFile, read_chunks
from model.durable_files import locked, write_durably
from model.errors import BundleError, RegistryError

_KEPT_RELEASES = 100


class FolderStore:
    """A store in ``folder``, which is made at the first publication."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet."""
        self._folder = folder
        self._releases = folder / "releases.json"

    def write_chunks(self, version: str, file: StoredFile, chunks: Iterable[bytes]) -> None:
        """Writes one file of ``version``."""
        with self._named_errors():
            write_durably(self._file(version, file), chunks)

    def read_chunks(self, manifest: CatalogVersion, file: StoredFile) -> Iterator[bytes]:
        """Yields the chunks of one file; raises BundleError if the file is missing."""
        path = self._file(manifest.version, file)
        if not path.exists():
            raise BundleError(f"{path} is missing; publish the catalog again")
        with self._named_errors():
            yield from read_chunks(path, len(file.chunks), manifest.chunk_bytes)

    def write_manifest(self, version: str, manifest: bytes) -> None:
        """Makes ``version`` known."""
        with self._named_errors():
            write_durably(self._manifest(version), [manifest])

    def read_manifest(self, version: str) -> bytes | None:
        """The manifest of ``version``, or None."""
        path = self._manifest(version)
        with self._named_errors():
            return path.read_bytes() if path.exists() else None

    def known_versions(self) -> list[str]:
        """All versions with a manifest."""
        return [path.stem for path in (self._folder / "manifests").glob("[!.]*.json")]

    def current(self) -> str | None:
        """The last release."""
        releases = self._read_releases()
        return releases[-1] if releases else None

    def release(self, version: str) -> None:
        """Appends ``version`` to the releases unless it is the last one."""
        with self._named_errors(), locked(self._folder / ".lock"):
            releases = self._read_releases()
            if releases[-1:] != [version]:
                self._write_releases([*releases, version])

    def withdraw(self) -> str | None:
        """Drops the last release and returns the one before, or None where there is none."""
        if not self._releases.exists():
            return None
        with self._named_errors(), locked(self._folder / ".lock"):
            earlier = self._read_releases()[:-1]
            if not earlier:
                return None
            self._write_releases(earlier)
            return earlier[-1]

    def close(self) -> None:
        """A folder holds no connections."""

    def _file(self, version: str, file: StoredFile) -> Path:
        return self._folder / "catalogs" / version / file.name

    def _manifest(self, version: str) -> Path:
        return self._folder / "manifests" / f"{version}.json"

    def _read_releases(self) -> list[str]:
        with self._named_errors():
            releases = json.loads(self._releases.read_bytes()) if self._releases.exists() else []
        if not isinstance(releases, list) or not all(isinstance(version, str) for version in releases):
            raise BundleError(f"{self._releases} must hold a list of versions; publish a catalog to a new folder")
        return releases

    def _write_releases(self, releases: list[str]) -> None:
        write_durably(self._releases, [json.dumps(releases[-_KEPT_RELEASES:], indent=1).encode()])

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RegistryError(f"the registry folder {self._folder} cannot be used: {error}") from error
        except json.JSONDecodeError as error:
            raise BundleError(f"{self._releases} is damaged: {error}; publish a catalog to a new folder") from error
