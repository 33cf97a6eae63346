"""Versions of bundles and catalogs in a folder: for one machine without Redis, or on a shared file system.

chunks/SHA256                the chunks
manifests/KIND/VERSION.json  written when the chunks are complete
releases.json                every release that was made current, oldest first; the last one is current
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from model.durable_files import locked, named_errors, write_durably
from model.errors import BundleError, RegistryError
from model.release import Release, VersionKey

_KEPT_RELEASES = 100
_RELEASES = TypeAdapter(list[Release])


class FolderStore:
    """A store in ``folder``, which is made at the first publication."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet."""
        self._folder = folder
        self._releases = folder / "releases.json"
        self._closed = threading.Event()

    def write_chunk(self, sha256: str, chunk: bytes) -> None:
        """Writes a chunk as a file of its own."""
        with self._errors():
            write_durably(self._chunk(sha256), [chunk])

    def read_chunk(self, sha256: str) -> bytes | None:
        """The chunk, or None."""
        return self._read(self._chunk(sha256))

    def read_manifest(self, key: VersionKey) -> bytes | None:
        """The manifest of a version, or None."""
        return self._read(self._manifest(key))

    def known(self) -> list[VersionKey]:
        """All versions with a manifest."""
        with self._errors():
            paths = list((self._folder / "manifests").glob("*/[!.]*.json"))
        return [VersionKey.of(path.parent.name, path.stem) for path in paths]

    def current(self) -> Release | None:
        """The last release."""
        releases = self._read_releases()
        return releases[-1] if releases else None

    def release(
        self, release: Release, manifests: Mapping[VersionKey, bytes], chunks: Collection[str], after: Release | None
    ) -> bool:
        """Writes ``manifests`` and appends ``release`` unless it is the last one already.

        One killed between the two leaves manifests that no release names, which harms nobody.
        """
        with self._locked():
            releases = self._read_releases()
            if (releases[-1] if releases else None) != after:
                return False
            for sha256 in chunks:
                if not self._chunk(sha256).exists():
                    raise RegistryError(f"{self._chunk(sha256)} vanished while it was published; publish again")
            for key, manifest in manifests.items():
                write_durably(self._manifest(key), [manifest])
            if release != after:
                self._write_releases([*releases, release])
        return True

    def withdraw(self) -> Release | None:
        """Drops the last release and returns the one before, or None where there is none."""
        if not self._releases.exists():
            return None
        with self._locked():
            earlier = self._read_releases()[:-1]
            if not earlier:
                return None
            self._write_releases(earlier)
            return earlier[-1]

    def forget(self, keep: int) -> list[VersionKey]:
        """Drops older releases and the manifests that only they named."""
        if not self._releases.exists():
            return []
        with self._locked():
            releases = self._read_releases()[-keep:]
            self._write_releases(releases)
            named = {key for release in releases for key in release.keys}
            forgotten = [key for key in self.known() if key not in named]
            for key in forgotten:
                self._manifest(key).unlink()
        return forgotten

    def sweep(self, in_use: Callable[[], Collection[str]], unused_seconds: float) -> int:
        """Deletes the chunks that nobody needs and what killed writers left behind, by the time of the last write.

        Nothing is released meanwhile.
        """
        chunks = self._folder / "chunks"
        if not chunks.exists():
            return 0
        deleted = 0
        with self._locked():
            needed, latest = in_use(), time.time() - unused_seconds
            for path in chunks.glob("*"):
                with suppress(FileNotFoundError):  # a half that has just become a chunk
                    if path.name not in needed and path.stat().st_mtime <= latest:
                        path.unlink()
                        deleted += 1
        return deleted

    def wait(self, seconds: float) -> None:
        """Sleeps: a folder announces nothing."""
        self._closed.wait(seconds)

    def close(self) -> None:
        """Ends waiting; a folder holds no connections."""
        self._closed.set()

    def _chunk(self, sha256: str) -> Path:
        return self._folder / "chunks" / sha256

    def _manifest(self, key: VersionKey) -> Path:
        return self._folder / "manifests" / key.kind / f"{key.version}.json"

    def _read(self, path: Path) -> bytes | None:
        with self._errors(), suppress(FileNotFoundError):
            return path.read_bytes()
        return None

    def _read_releases(self) -> list[Release]:
        try:
            return _RELEASES.validate_json(self._read(self._releases) or b"[]")
        except ValidationError as error:
            raise BundleError(f"{self._releases} is damaged: {error}; publish to a new folder") from error

    def _write_releases(self, releases: list[Release]) -> None:
        listed = [release.model_dump() for release in releases[-_KEPT_RELEASES:]]
        write_durably(self._releases, [json.dumps(listed, indent=1).encode()])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other publishers away."""
        with self._errors(), locked(self._folder / ".lock"):
            yield

    def _errors(self) -> AbstractContextManager[None]:
        return named_errors(RegistryError, f"the registry folder {self._folder}")
