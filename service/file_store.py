"""Histories in memory and in an append-only file: what runs where there is no Redis.

A write is answered when it is on the disk. Writes that come while the disk is busy are synced together, so a thousand
clients cost about as much as one. What cannot be made durable is refused and changes nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

from model.durable_files import try_lock
from model.errors import ConfigError
from service.histories import Histories
from service.history_log import Group, HistoryLog
from service.metrics import Metrics
from service.store import Deletion, HistoryLimits, StoredEvent, StoreUnavailableError

log = logging.getLogger(__name__)

LOG_FILE = "histories.log"
LOCK_FILE = "histories.lock"
SPARE_CHANGES = 10_000
"""The file is rewritten when it has twice as many changes as events are kept, and this many more."""
MAX_WAITING = 100_000
"""Changes that may wait for the disk."""


class _Write(NamedTuple):
    """Changes, and who waits for them."""

    changes: Sequence[StoredEvent | Deletion]
    done: asyncio.Future[int]


class FileStore:
    """Histories of one process in a folder of its own; see :class:`service.store.HistoryStore`."""

    def __init__(
        self,
        folder: Path,
        limits: HistoryLimits,
        metrics: Metrics,
        spare: int = SPARE_CHANGES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Opens nothing yet; ``clock`` gives seconds since 1970."""
        self._folder = folder
        self._metrics = metrics
        self._spare = spare
        self._clock = clock
        self._histories = Histories(limits)
        self._log = HistoryLog(folder / LOG_FILE)
        self._lock: BinaryIO | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="histories")
        self._writes: list[_Write] = []
        self._writing: asyncio.Task[None] | None = None
        self._is_open = False
        self._postponed = 0

    async def open(self) -> None:
        """Claims the folder and reads the file.

        Raises:
            ConfigError: if the folder cannot be used or another process uses it.
            DataError: if the file is damaged.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        self._is_open = True
        self._show()

    async def read(self, user_id: str) -> list[str]:
        """See :class:`service.store.HistoryStore`."""
        self._check_open()
        return self._histories.read(user_id, self._clock())

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """See :class:`service.store.HistoryStore`."""
        return await self._write(events)

    async def delete(self, user_id: str) -> int:
        """See :class:`service.store.HistoryStore`; the file forgets when it is rewritten, at the latest when opened."""
        return await self._write([Deletion(user_id)])

    async def close(self) -> None:
        """Lets running writes end and gives the folder up."""
        self._is_open = False
        if self._writing is not None:
            await asyncio.wait({self._writing})
        self._thread.shutdown()
        self._log.close()
        if self._lock is not None:
            self._lock.close()

    def _check_open(self) -> None:
        """Raises StoreUnavailableError before the file was read and after it was closed."""
        if not self._is_open:
            raise StoreUnavailableError("the histories are being loaded or closed")

    def _open(self) -> None:
        """Locks, reads, and rewrites a file that says more than is kept, so that what was deleted is gone."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = try_lock(self._folder / LOCK_FILE)
            if self._lock is None:
                raise ConfigError(
                    f"another process keeps its histories in {self._folder}; give each a folder of its own "
                    "(MACREC_STATE), let them share Redis (REDIS_URL), or keep histories in memory (MACREC_STATE=)"
                )
            self._log.open(self._replay)
            if self._log.changes > self._histories.events:
                self._rewrite()
        except OSError as error:
            raise ConfigError(
                f"histories cannot be kept in {self._folder}: {error}; name a folder that can be written "
                "(MACREC_STATE), or keep them in Redis (REDIS_URL) or in memory (MACREC_STATE=)"
            ) from error

    def _replay(self, group: Group) -> None:
        """Takes in a group of the file."""
        for change in group.changes:
            self._histories.apply(change, group.time)

    async def _write(self, changes: Sequence[StoredEvent | Deletion]) -> int:
        """Waits until changes are durable and applied; returns how many events came or went."""
        self._check_open()
        if sum(len(write.changes) for write in self._writes) + len(changes) > MAX_WAITING:
            raise StoreUnavailableError("too many writes wait for the disk")
        loop = asyncio.get_running_loop()
        write = _Write(changes, loop.create_future())
        self._writes.append(write)
        if self._writing is None:
            self._writing = loop.create_task(self._write_all())
        return await write.done

    async def _write_all(self) -> None:
        """Writes what waits, group after group, until nothing waits."""
        try:
            while self._writes:
                writes, self._writes = self._writes, []
                await self._write_group(writes)
        except Exception as error:
            log.exception("the writing of histories failed")
            for write in self._writes:
                _fail(write, error)
            self._writes = []
        finally:
            self._writing = None

    async def _write_group(self, writes: list[_Write]) -> None:
        """Makes one group durable, then applies it: what fails changes nothing."""
        loop = asyncio.get_running_loop()
        group = Group(self._clock(), [change for write in writes for change in write.changes])
        try:
            if not self._is_repeated(group):
                await loop.run_in_executor(self._thread, self._log.append, group)
        except Exception as error:
            log.exception("histories cannot be written")
            for write in writes:
                _fail(write, error)
            return
        for write in writes:
            count = sum(self._histories.apply(change, group.time) for change in write.changes)
            if not write.done.done():
                write.done.set_result(count)
            await asyncio.sleep(0)  # other requests may come between two that wrote much
        if self._log.changes > max(2 * self._histories.events + self._spare, self._postponed):
            await loop.run_in_executor(self._thread, self._compact)
        self._show()

    def _is_repeated(self, group: Group) -> bool:
        """Whether every change is an event that is kept already, so that nothing needs to be written."""
        return all(
            isinstance(change, StoredEvent) and self._histories.knows(change, group.time) for change in group.changes
        )

    def _compact(self) -> None:
        """Rewrites the file while the writes wait; a failure costs only space."""
        try:
            self._rewrite()
        except OSError as error:
            self._postponed = self._log.changes + self._spare
            self._metrics.compactions.labels(result="failed").inc()
            log.warning("histories cannot be compacted", extra={"reason": str(error)})

    def _rewrite(self) -> None:
        """Replaces the file by what is kept."""
        before = self._log.size
        self._log.rewrite(Group(changed, list(events)) for changed, events in self._histories.contents())
        self._metrics.compactions.labels(result="done").inc()
        log.info("compacted the histories", extra={"bytes_before": before, "bytes": self._log.size})

    def _show(self) -> None:
        """Shows how much there is."""
        self._metrics.history_users.set(len(self._histories))
        self._metrics.history_file_bytes.set(self._log.size)


def _fail(write: _Write, error: Exception) -> None:
    """Tells who waits that nothing was stored."""
    if not write.done.done():
        unavailable = StoreUnavailableError(f"the histories cannot be written: {error}")
        unavailable.__cause__ = error
        write.done.set_exception(unavailable)
