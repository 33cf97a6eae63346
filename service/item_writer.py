"""Changes of items: encoded, given their codes and stored in the live log before anybody is told.

The replica that takes a change serves it like all others, when it reads the log; an answer waits a moment for that, so
that who wrote can read.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from model.errors import BundleError, DataError, LiveLogError
from model.item_encoder import ItemEncoder
from model.item_inputs import ItemInputs
from model.live_catalog import LiveCatalog
from model.live_log import Claim, Leaves, LiveLog, Mark, Upsert, Written
from service.live_follower import LiveFollower
from service.metrics import Metrics
from service.problems import LOG_DOWN, NO_ENCODER, QUEUE_FULL, STARTING, UNKNOWN_ITEM, Problem, invalid
from service.snapshot import Live, Snapshot

T = TypeVar("T")

WORKERS = 2
SECONDS_TO_SEE = 0.5
"""Longest wait for this replica to serve what it has just stored."""

NOTHING_TO_GO_BY = "nothing of it can be embedded; send texts with known words, an image, or embeddings"


class ItemWritten(NamedTuple):
    """What came of one item: how it was stored, or the problem with it."""

    item_id: str
    written: Written | None
    problem: Problem | None = None


class ItemWriter:
    """Writes for one process; a few threads, and no more waiting than the queue holds."""

    def __init__(self, live: Live, live_log: LiveLog, follower: LiveFollower, metrics: Metrics, queue: int) -> None:
        """Stores in ``live_log``; at most ``queue`` requests wait."""
        self._live = live
        self._log = live_log
        self._follower = follower
        self._metrics = metrics
        self._queue = queue
        self._pending = 0
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="items")

    async def upsert(self, items: Sequence[tuple[str, ItemInputs]]) -> tuple[list[ItemWritten], bool]:
        """Stores items, each on its own; returns what came of each, and whether this replica serves them already.

        Raises:
            Problem: 503 if the log cannot store anything, 429 if too many requests wait, 409 if the bundle's encoders
                cannot be read.
        """
        results = await self._run(lambda: self._upsert(items))
        return results, await self._seen(max((each.written.sequence for each in results if each.written), default=0))

    async def mark(self, item_id: str, mark: Mark) -> tuple[Written, bool]:
        """Stores that an item is deleted, unavailable or available; and whether this replica serves that already.

        Raises:
            Problem: 404 for an unknown or deleted item, 503 if the log cannot store it, 429 if too many requests wait.
        """
        catalog = self._snapshot().catalog
        standing = catalog.standing(item_id)
        written = await self._run(lambda: self._log.mark(item_id, mark, standing, catalog.sequence))
        if written is None:
            raise Problem(UNKNOWN_ITEM, f"catalog {catalog.version} has no item with this id")
        self._count([ItemWritten(item_id, written)])
        return written, await self._seen(written.sequence)

    def close(self) -> None:
        """Lets writes that have begun end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        """Runs ``work`` on a thread of the pool and answers a log that is away."""
        if self._pending >= WORKERS + self._queue:
            self._metrics.rejected.labels(reason="queue_full").inc()
            raise Problem(QUEUE_FULL, f"{self._pending} changes of items wait to be stored", retry_after=1)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BundleError as error:
            self._metrics.item_writes.labels(result="failed").inc()
            raise Problem(NO_ENCODER, str(error)) from error
        except LiveLogError as error:
            self._metrics.item_writes.labels(result="failed").inc()
            raise Problem(LOG_DOWN, f"{error}; send the same again", retry_after=1) from error
        finally:
            self._pending -= 1

    async def _seen(self, sequence: int) -> bool:
        return await self._follower.reached(sequence, SECONDS_TO_SEE)

    def _snapshot(self) -> Snapshot:
        snapshot = self._live.snapshot
        if snapshot is None:
            raise Problem(STARTING, "model and catalog are being loaded", retry_after=1)
        return snapshot

    def _upsert(self, items: Sequence[tuple[str, ItemInputs]]) -> list[ItemWritten]:
        """Encodes and stores items; runs on a thread of the pool."""
        snapshot = self._snapshot()
        encoder = self._follower.encoder(snapshot.bundle)
        prepared = [self._prepare(item_id, inputs, snapshot.catalog, encoder) for item_id, inputs in items]
        upserts = [each for each in prepared if isinstance(each, Upsert)]
        stored = iter(self._log.upsert(upserts, snapshot.catalog.sequence) if upserts else ())
        results = [
            ItemWritten(item_id, next(stored)) if isinstance(each, Upsert) else ItemWritten(item_id, None, each)
            for (item_id, _), each in zip(items, prepared, strict=True)
        ]
        self._count(results)
        return results

    def _prepare(
        self, item_id: str, inputs: ItemInputs, catalog: LiveCatalog, encoder: ItemEncoder | None
    ) -> Upsert | Problem:
        """What to store of an item, or what is wrong with it."""
        item = catalog.find(item_id)
        standing = catalog.standing(item_id)
        if encoder is None:
            if item is None:
                return Problem(NO_ENCODER, "its semantic IDs were imported; publish a bundle with a quantizer")
            return Upsert(_settled(item_id, item, catalog), inputs, standing)
        try:
            encoded = encoder.encode([inputs])
        except DataError as error:
            return invalid("body", str(error))
        if item is not None:
            return Upsert(_settled(item_id, item, catalog), inputs, standing)
        if not encoded.present.any():
            return invalid("body", NOTHING_TO_GO_BY)
        return Upsert(encoder.claim(item_id, encoded.latents[:, 0], catalog), inputs, standing)

    def _count(self, results: Sequence[ItemWritten]) -> None:
        for each in results:
            self._metrics.item_writes.labels(result=_result(each)).inc()


def _result(each: ItemWritten) -> str:
    """The label of what came of an item."""
    if each.written is None:
        return "refused"
    return "stored" if each.written.changed else "unchanged"


def _settled(item_id: str, item: int, catalog: LiveCatalog) -> Claim:
    """The claim of an item that has its codes for ever."""
    codes = [catalog.codes(modality, np.array([item]))[0] for modality in range(len(catalog.space.modalities))]
    return Claim(item_id, catalog.space_hash, [Leaves(iter(()), each.tobytes()) for each in codes])
