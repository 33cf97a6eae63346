"""Everything that lives as long as the process: wired here, used by the routes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from model.errors import MacrecError
from model.live_store import open_live_log
from model.registry import Registry, open_registry
from service.file_store import FileStore
from service.filter_cache import FilterCache
from service.item_writer import ItemWriter
from service.live_follower import LiveFollower
from service.loader import Loader
from service.memory_store import MemoryStore
from service.metrics import Metrics
from service.problems import STARTING, STORE_DOWN, Problem
from service.recommender import Recommender
from service.redis_store import RedisHistories, Waits
from service.scheduler import Scheduler
from service.settings import Settings
from service.snapshot import Live, Snapshot
from service.store import HistoryLimits, HistoryStore, StoredEvent, StoreUnavailableError

log = logging.getLogger(__name__)


class Service:
    """The parts of one serving process."""

    def __init__(self, settings: Settings) -> None:
        """Wires the parts; nothing is loaded and nobody is connected to yet."""
        self.settings = settings
        self.metrics = Metrics(settings.slo)
        self.live = Live()
        self.scheduler = Scheduler(settings.parallel_runs, settings.queue, self.metrics)
        self.recommender = Recommender(settings.max_beam, FilterCache(settings.filter_cache))
        self.metrics.filter_bytes.set_function(lambda: self.recommender.filters.nbytes)
        self.metrics.history_state_bytes.set_function(self._history_state_bytes)
        self.histories = _histories(settings, self.metrics)
        self.failure: Exception | None = None
        self._live_log = open_live_log(_redis_url(settings), settings.state, settings.redis_write_timeout)
        self.follower = LiveFollower(self.live, self._live_log, self.metrics, self.recommender.filters.prepare)
        self.items = ItemWriter(self.live, self._live_log, self.follower, self.metrics, settings.queue)
        self._registry = _registry(settings)
        self._loader = Loader(settings, self.live, self.follower, self.recommender, self._registry, self.metrics)

    def _history_state_bytes(self) -> int:
        """Bytes that the served generator keeps of encoded histories."""
        snapshot = self.live.snapshot
        return 0 if snapshot is None or snapshot.engine.states is None else snapshot.engine.states.nbytes

    @property
    def degraded(self) -> list[str]:
        """What may be missing from every answer: a newer catalog of the registry, or changes of live items."""
        stale = {"catalog": self._loader.stale, "live": self.follower.stale}
        return [reason for reason, missing in stale.items() if missing]

    async def run(self, on_failure: Callable[[], None]) -> None:
        """Loads, then keeps the catalog current until cancelled; calls ``on_failure`` if nothing can be served."""
        if self.settings.redis_url is None and self.settings.state is not None:
            log.info("histories and live items are kept in a folder", extra={"folder": str(self.settings.state)})
        try:
            await self.histories.open()
            await self._loader.start()
            await asyncio.gather(self._loader.keep_current(), self.follower.run())
        except MacrecError as error:
            log.error("cannot serve", extra={"reason": str(error)})  # noqa: TRY400 - the message says it all
            self.failure = error
            on_failure()
        except Exception as error:
            # A task that ends unheard would leave a process that lives, is never ready, and is never started again.
            log.exception("cannot serve")
            self.failure = error
            on_failure()

    async def close(self) -> None:
        """Lets running searches end and frees connections."""
        await asyncio.to_thread(self.scheduler.close)
        await self.histories.close()
        await asyncio.to_thread(self.follower.close)
        await asyncio.to_thread(self.items.close)
        self._live_log.close()
        self._loader.close()
        if self._registry is not None:
            await asyncio.to_thread(self._registry.close)

    def snapshot(self) -> Snapshot:
        """What is served now.

        Raises:
            Problem: 503 while the service starts.
        """
        snapshot = self.live.snapshot
        if snapshot is None:
            self.metrics.rejected.labels(reason="starting").inc()
            raise Problem(STARTING, str(self.failure or self._loader.waiting), retry_after=1)
        return snapshot

    async def history(self, user_id: str) -> list[str] | None:
        """A user's stored history, oldest first; None if the store does not answer."""
        try:
            history = await self.histories.read(user_id)
        except StoreUnavailableError as error:
            log.warning("answering without history", extra={"reason": str(error)})
            self.metrics.degraded.labels(reason="histories").set(1)
            return None
        self.metrics.degraded.labels(reason="histories").set(0)
        return history

    async def add_events(self, events: Sequence[StoredEvent]) -> int:
        """Stores events durably and returns how many were new.

        Raises:
            Problem: 503 if the store cannot take them; some of them may be there, so all should be sent again.
        """
        async with self._writing():
            added = await self.histories.append(events)
        self.metrics.events.inc(added)
        self.metrics.ignored_events.inc(len(events) - added)
        return added

    async def forget(self, user_id: str) -> int:
        """Removes all that is known of a user and returns how many events that were.

        Raises:
            Problem: 503 if the store cannot do it now.
        """
        async with self._writing():
            events = await self.histories.delete(user_id)
        self.metrics.deleted_users.inc()
        return events

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """Times a write, and answers one that failed."""
        started = time.perf_counter()
        try:
            yield
        except StoreUnavailableError as error:
            self.metrics.failed_writes.inc()
            log.warning("histories cannot be written", extra={"reason": str(error)})
            raise Problem(STORE_DOWN, f"{error}; send the same again", retry_after=1) from error
        self.metrics.store_write.observe(time.perf_counter() - started)


def _histories(settings: Settings, metrics: Metrics) -> HistoryStore:
    """Redis if there is one, else a folder, else memory."""
    limits = HistoryLimits(
        history=settings.history_limit,
        remembered=settings.remembered_events,
        users=settings.max_users,
        ttl=settings.history_ttl,
    )
    if settings.redis_url is not None:
        return RedisHistories(settings.redis_url.get_secret_value(), limits, _waits(settings), settings.redis_pool)
    if settings.state is not None:
        return FileStore(settings.state, limits, metrics)
    return MemoryStore(limits)


def _redis_url(settings: Settings) -> str | None:
    """Where Redis is, if there is one."""
    return None if settings.redis_url is None else settings.redis_url.get_secret_value()


def _waits(settings: Settings) -> Waits:
    """How long Redis is waited for."""
    return Waits(
        step=settings.redis_timeout,
        read=settings.redis_patience,
        write=settings.redis_write_timeout,
        pool=settings.redis_pool_wait,
    )


def _registry(settings: Settings) -> Registry | None:
    """The registry of releases, if there is a folder or a Redis to keep it."""
    if settings.registry is not None:
        return open_registry(settings.registry)
    if settings.redis_url is not None:
        return open_registry(settings.redis_url.get_secret_value(), settings.catalog_timeout)
    return None
