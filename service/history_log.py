"""Changes of histories in an append-only file that survives whatever kills the process.

    macrec histories 1
    CRC32 [time, [[user, item, timestamp, event id], [user], ...]]

Every further line is one group of changes that became durable together: events, and users to forget. A crash can cut
only the last line, since each was on the disk before the next began.
"""

import logging
import os
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from model.durable_files import write_durably
from model.errors import DataError
from service.store import Deletion, StoredEvent

log = logging.getLogger(__name__)

HEADER = b"macrec histories 1\n"
CHECKSUM_LENGTH = 8


class Group(NamedTuple):
    """Changes that became durable together at ``time`` (seconds since 1970)."""

    time: float
    changes: list[StoredEvent | Deletion]


class HistoryLog:
    """The file; one process and one thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; ``path`` is the file."""
        self.size = 0
        """Bytes of the file."""
        self.changes = 0
        """Changes in the file."""
        self._path = path
        self._file: int | None = None
        self._is_sound = True

    def open(self, apply: Callable[[Group], None]) -> None:
        """Opens the file, made if need be, and hands over its groups in order; a torn last line is cut off.

        Raises:
            DataError: if anything else is damaged; the message names the line.
            OSError: if the file cannot be read or written.
        """
        for left_over in self._path.parent.glob(f".{self._path.name}.*.partial"):
            left_over.unlink()
        if not self._path.exists():
            write_durably(self._path, [HEADER])
        self._replay(apply)
        self._open()

    def append(self, group: Group) -> None:
        """Adds a group, on the disk when this returns.

        Raises:
            OSError: if that cannot be; the file is then as it was.
        """
        if self._file is None:
            self._open()
        assert self._file is not None
        if not self._is_sound:
            self._cut_back()
        line = _encode(group)
        try:
            _write(self._file, line)
            os.fsync(self._file)
        except OSError:
            self._is_sound = False
            with suppress(OSError):
                self._cut_back()
            raise
        self.size += len(line)
        self.changes += len(group.changes)

    def rewrite(self, groups: Iterable[Group]) -> None:
        """Replaces the file by one with these groups, in one atomic step.

        Raises:
            OSError: if it cannot be written; the file then holds what it held.
        """
        count = 0

        def chunks() -> Iterable[bytes]:
            nonlocal count
            yield HEADER
            for group in groups:
                count += len(group.changes)
                yield _encode(group)

        try:
            write_durably(self._path, chunks())
            self.changes = count
        finally:
            # Whichever file has the name now is the one to go on with, even if the renaming could not be synced.
            self.close()
        self._open()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        """Opens the file, which is whole, for appending."""
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self.size = os.fstat(self._file).st_size
        self._is_sound = True

    def _replay(self, apply: Callable[[Group], None]) -> None:
        """Hands over every whole line."""
        with self._path.open("rb+") as file:
            if file.readline() != HEADER:
                raise DataError(f"{self._path}, line 1: this is no file of histories that this version can read")
            number, end = 1, len(HEADER)
            while line := file.readline():
                number += 1
                group = _decode(line)
                if group is None:
                    if file.read(1):
                        raise DataError(
                            f"{self._path}, line {number}: the line is damaged; restore the file from a backup, or "
                            "delete the line and do without the events in it"
                        )
                    log.warning(
                        "dropped the last line of the histories, which a crash cut off before it was acknowledged",
                        extra={"path": str(self._path), "line": number, "bytes": len(line)},
                    )
                    file.truncate(end)
                    os.fsync(file.fileno())
                    break
                apply(group)
                self.changes += len(group.changes)
                end += len(line)

    def _cut_back(self) -> None:
        """Cuts off what a failed write left; while that cannot be done, the file takes no more."""
        assert self._file is not None
        os.ftruncate(self._file, self.size)
        os.fsync(self._file)
        self._is_sound = True


def _encode(group: Group) -> bytes:
    """A group as a line."""
    content = orjson.dumps([group.time, [tuple(change) for change in group.changes]])
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _decode(line: bytes) -> Group | None:
    """The group on a line; None if the line is not as it was written."""
    content = line[CHECKSUM_LENGTH + 1 : -1]
    if line != b"%08x %s\n" % (zlib.crc32(content), content):
        return None
    time, changes = orjson.loads(content)
    return Group(time, [Deletion(*change) if len(change) == 1 else StoredEvent(*change) for change in changes])


def _write(file: int, data: bytes) -> None:
    """Writes all of ``data``; a full disk may take a part before it refuses."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
