"""Everything that lives as long as the process: wired here, used by the routes."""

import asyncio
import logging
from collections.abc import Callable

from model.errors import MacrecError
from model.registry import Registry, open_registry
from service.loader import Loader
from service.metrics import Metrics
from service.problems import STARTING, Problem
from service.recommender import Recommender
from service.redis_store import RedisHistories
from service.scheduler import Scheduler
from service.settings import Settings
from service.snapshot import Live, Snapshot
from service.store import HistoryStore, MemoryStore, StoreUnavailableError

log = logging.getLogger(__name__)


class Service:
    """The parts of one serving process."""

    def __init__(self, settings: Settings) -> None:
        """Wires the parts; nothing is loaded and nobody is connected to yet."""
        self.settings = settings
        self.metrics = Metrics(settings.slo)
        self.live = Live()
        self.scheduler = Scheduler(settings.parallel_runs, settings.queue, self.metrics)
        self.recommender = Recommender(settings.max_beam)
        self.histories = _histories(settings)
        self.failure: MacrecError | None = None
        self._registry = _registry(settings)
        self._loader = Loader(settings, self.live, self.recommender, self._registry, self.metrics)

    @property
    def stale(self) -> bool:
        """Whether the catalog may be older than the registry's."""
        return self._loader.stale

    async def run(self, on_failure: Callable[[], None]) -> None:
        """Loads, then keeps the catalog current until cancelled; calls ``on_failure`` if nothing can be served."""
        try:
            await self._loader.start()
        except MacrecError as error:
            log.error("cannot serve", extra={"reason": str(error)})  # noqa: TRY400 - the message says it all
            self.failure = error
            on_failure()
            return
        await self._loader.keep_current()

    async def close(self) -> None:
        """Lets running searches end and frees connections."""
        await asyncio.to_thread(self.scheduler.close)
        await self.histories.close()
        if self._registry is not None:
            self._registry.close()

    def snapshot(self) -> Snapshot:
        """What is served now.

        Raises:
            Problem: 503 while the service starts.
        """
        snapshot = self.live.snapshot
        if snapshot is None:
            self.metrics.rejected.labels(reason="starting").inc()
            raise Problem(STARTING, str(self.failure or "model and catalog are being loaded"), retry_after=1)
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


def _histories(settings: Settings) -> HistoryStore:
    """Redis if there is one, else memory."""
    if settings.redis_url is None:
        return MemoryStore(settings.history_limit, settings.max_users)
    return RedisHistories(
        settings.redis_url.get_secret_value(),
        settings.history_limit,
        settings.redis_timeout,
        settings.redis_pool,
        settings.redis_pool_wait,
    )


def _registry(settings: Settings) -> Registry | None:
    """The registry of catalogs, if there is a Redis to keep it."""
    if settings.redis_url is None:
        return None
    return open_registry(settings.redis_url.get_secret_value(), settings.catalog_timeout)
