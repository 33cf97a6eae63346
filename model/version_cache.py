"""Fetched versions on one machine's disk: each is downloaded once and mapped by every process that serves it.

    bundle/VERSION/...   catalog/VERSION/...   complete and verified, or not there
    released.json                              the release that was served last, for a start without the registry

A process holds a shared lock on the folders that it uses, so that no other one removes them; the kernel frees the locks
of a process that dies.
"""

import fcntl
import os
import shutil
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from model.durable_files import locked, make_folder, named_errors, write_durably
from model.errors import CacheError
from model.registry import Registry
from model.release import Release, VersionKey

KEPT_UNUSED = 2
"""How many versions of each kind, the latest used ones, stay when nobody uses them: a rollback downloads nothing."""


class VersionCache:
    """The cache in ``folder``, as one process sees it. Every method raises CacheError if it cannot be written."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet."""
        self._folder = folder
        self._held: dict[VersionKey, int] = {}

    def hold(self, registry: Registry, key: VersionKey, share: float = 1.0) -> Path:
        """The folder of a version, fetched if it is not there yet, and kept until it is let go.

        Fetching takes up to ``share`` of the time (:meth:`model.registry.Registry.download`). Of several processes one
        downloads and the others wait for it; what is there is used without the registry.

        Raises:
            BundleError: if the version is damaged, incomplete or unknown.
        """
        target = self._path(key)
        with self._errors():
            while key not in self._held:
                if (descriptor := _hold(target)) is not None:
                    self._held[key] = descriptor
                    break
                make_folder(target.parent)
                with self._locked():
                    if not target.exists():
                        registry.download(key, target, share)
            with suppress(PermissionError):  # another user's: then their use of it counts
                os.utime(target)
        return target

    def has(self, key: VersionKey) -> bool:
        """Whether a version is there."""
        return self._path(key).exists()

    def keep_only(self, keys: Collection[VersionKey]) -> None:
        """Lets go of all versions but ``keys``, and removes what no process needs any more."""
        for key in self._held.keys() - set(keys):
            os.close(self._held.pop(key))
        with self._errors(), self._locked():
            for kind in ("bundle", "catalog"):
                self._prune(self._folder / kind)

    def close(self) -> None:
        """Lets go of everything and removes nothing."""
        while self._held:
            os.close(self._held.popitem()[1])

    def remember(self, release: Release) -> None:
        """Notes what is served."""
        with self._errors():
            write_durably(self._folder / "released.json", [release.dump()])

    def remembered(self) -> Release | None:
        """What was served last, if anything ever was."""
        path = self._folder / "released.json"
        with self._errors():
            return Release.parse(path.read_bytes()) if path.exists() else None

    def _path(self, key: VersionKey) -> Path:
        return self._folder / key.kind / key.version

    def _prune(self, folder: Path) -> None:
        """Removes the versions of one kind that nobody uses, but for the latest, and halves of killed downloads."""
        for path in folder.glob(".*"):
            shutil.rmtree(path, ignore_errors=True)
        by_use = sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in by_use[KEPT_UNUSED:]:
            with suppress(PermissionError):  # another user's, who removes it
                _remove_unused(path)

    def _locked(self) -> AbstractContextManager[None]:
        """Keeps other downloads and removals away."""
        return locked(self._folder / ".lock")

    def _errors(self) -> AbstractContextManager[None]:
        return named_errors(CacheError, f"the cache {self._folder}")


def _hold(folder: Path) -> int | None:
    """A descriptor whose shared lock keeps ``folder`` there, or None if it is not there."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    with suppress(FileNotFoundError):
        if folder.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    os.close(descriptor)  # removed while we waited
    return None


def _remove_unused(folder: Path) -> None:
    """Removes ``folder`` unless a process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        removed = folder.rename(folder.with_name(f".{folder.name}.removed"))
        shutil.rmtree(removed)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
