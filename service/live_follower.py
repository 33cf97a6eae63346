"""Keeps the served catalog up to the live log: everything that changed is folded into the next snapshot at once.

What comes while a snapshot is made waits for the next one, so that many changes cost no more than a few. A snapshot is
made beside the live one and replaces it between two requests; the loader, which replaces the base below, and the
follower take turns. While the log does not answer, what is there is served and marked.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from model.adoption import adopt
from model.bundle import Bundle
from model.catalog import Catalog
from model.errors import BundleError, LiveLogError, RegistryError
from model.item_encoder import ItemEncoder
from model.live_catalog import LiveCatalog
from model.live_log import LiveItem, LiveLog, read_all
from service.metrics import Metrics
from service.snapshot import Live, Snapshot

log = logging.getLogger(__name__)

WAIT = 0.1
"""Seconds that one look at the log waits for a change."""

PAUSE = 0.5
"""Seconds between two looks while the log does not answer."""


class LiveFollower:
    """Follows the log for one process."""

    def __init__(
        self,
        live: Live,
        live_log: LiveLog,
        metrics: Metrics,
        prepare: Callable[[Snapshot], None],
    ) -> None:
        """Reads nothing yet.

        Args:
            live: what is served.
            live_log: what is followed.
            metrics: the service's.
            prepare: makes ready what requests will need of a snapshot before it is served.
        """
        self.stale = False
        self._prepare = prepare
        self._live = live
        self._log = live_log
        self._metrics = metrics
        self._swap = threading.Lock()
        self._encoders: dict[str, ItemEncoder | None] = {}
        self._encoders_lock = threading.Lock()
        self._warmed = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._closed = False
        self._applied = asyncio.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Nobody else replaces the snapshot meanwhile."""
        with self._swap:
            yield

    def overlay(self, bundle: Bundle, base: Catalog) -> LiveCatalog:
        """A catalog from disk with all that the log says came after it.

        Raises:
            RegistryError: if the log does not answer, and live items that are served now would vanish.
        """
        catalog = LiveCatalog.of(base)
        try:
            sequence, items = read_all(self._log, catalog.sequence, catalog.space_hash)
            return catalog.apply(sequence, adopt(items, catalog, self._log, lambda: self.encoder(bundle)).items)
        except LiveLogError as error:
            self._mark(stale=True, reason=str(error))
            if self._live.snapshot is not None:
                raise RegistryError(f"the catalog cannot be replaced without the live log: {error}") from error
            return catalog

    def encoder(self, bundle: Bundle) -> ItemEncoder | None:
        """The encoder of a bundle, loaded when it is first needed; that of the bundle before is forgotten."""
        with self._encoders_lock:
            if bundle.version not in self._encoders:
                self._encoders = {bundle.version: ItemEncoder.load(bundle)}
            return self._encoders[bundle.version]

    @property
    def encoder_loaded(self) -> bool:
        """Whether a new item would wait for no file."""
        return bool(self._encoders)

    async def run(self) -> None:
        """Follows for as long as the service runs."""
        while not self._closed:
            try:
                changed = await asyncio.get_running_loop().run_in_executor(self._thread, self._step)
                self._mark(stale=False)
            except Exception as error:
                # Whatever went wrong, the next look may succeed; an ended task would freeze the catalog unseen.
                if not isinstance(error, LiveLogError):
                    log.exception("the live log cannot be followed")
                self._mark(stale=True, reason=str(error) or repr(error))
                await asyncio.sleep(PAUSE)
                continue
            if changed:
                async with self._applied:
                    self._applied.notify_all()

    async def reached(self, sequence: int, seconds: float) -> bool:
        """Waits until requests get a catalog with a change in it; False if they do not in time."""
        async with self._applied:
            try:
                await asyncio.wait_for(self._applied.wait_for(lambda: self._sequence() >= sequence), seconds)
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        """Lets a look at the log end."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _step(self) -> bool:
        """Waits for changes and folds them in; False if there were none."""
        snapshot = self._live.snapshot
        if snapshot is None or self._closed:
            time.sleep(0.01)
            return False
        self._warm(snapshot.bundle)
        catalog = snapshot.catalog
        changes = self._log.changes(catalog.sequence, catalog.space_hash, WAIT)
        if changes.lost and catalog.sequence > catalog.base.live_seq:
            return self._start_over(changes.sequence)
        if changes.sequence < catalog.sequence:
            time.sleep(WAIT)
            return False
        if not changes.items and changes.sequence == catalog.sequence:
            return False
        return self._fold(changes.sequence, changes.items, catalog)

    def _warm(self, bundle: Bundle) -> None:
        """Loads a bundle's encoder before the first new item needs it, which would wait for the files' hashes too."""
        if self._warmed == bundle.version:
            return
        self._warmed = bundle.version
        try:
            self.encoder(bundle)
        except BundleError as error:
            log.warning("new items cannot be given IDs", extra={"reason": str(error)})

    def _fold(self, sequence: int, items: list[LiveItem], catalog: LiveCatalog) -> bool:
        """Serves the catalog with changes, unless the loader has replaced it since they were read."""
        with self.turn():
            snapshot = self._live.snapshot
            if snapshot is None or snapshot.catalog is not catalog:
                return False
            started = time.perf_counter()
            adopted = adopt(items, catalog, self._log, lambda: self.encoder(snapshot.bundle)).items
            self._replace(snapshot, catalog.apply(sequence, adopted))
        self._metrics.live_apply.observe(time.perf_counter() - started)
        self._metrics.live_changes.inc(len(items))
        self.show()
        return True

    def _start_over(self, sequence: int) -> bool:
        """The log knows less than this process: what it lost is forgotten here too, so that all replicas agree."""
        with self.turn():
            snapshot = self._live.snapshot
            if snapshot is None or snapshot.catalog.sequence == snapshot.catalog.base.live_seq:
                return False
            details = {"was": snapshot.catalog.sequence, "now": sequence}
            log.error("the live log has lost changes that were acknowledged", extra=details)
            self._replace(snapshot, self.overlay(snapshot.bundle, snapshot.catalog.base))
        self.show()
        return True

    def _replace(self, snapshot: Snapshot, catalog: LiveCatalog) -> None:
        """Serves another catalog with the model of ``snapshot``; it is this thread's turn."""
        made = snapshot.with_catalog(catalog)
        self._prepare(made)
        self._live.replace(made)

    def show(self) -> None:
        """Updates the gauges."""
        snapshot = self._live.snapshot
        if snapshot is not None:
            catalog = snapshot.catalog
            self._metrics.show_live(catalog.trie.items, catalog.live_items, catalog.sequence)

    def _sequence(self) -> int:
        """The sequence number of what requests get now."""
        return -1 if self._live.snapshot is None else self._live.snapshot.catalog.sequence

    def _mark(self, *, stale: bool, reason: str = "") -> None:
        """Notes whether changes may be missing, and logs when that changes."""
        if stale and not self.stale:
            log.warning("live items may be missing", extra={"reason": reason})
        if self.stale and not stale:
            log.info("live items are current again")
        self.stale = stale
        self._metrics.degraded.labels(reason="live").set(stale)
