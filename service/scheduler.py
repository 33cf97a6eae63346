"""Who may run when: admission before any work, as many runs at once as workers, a deadline for everybody.

A request is admitted or refused at once, by the time that it would have to wait and then takes. Admitted ones wait for
a worker in order. One whose client leaves while it waits, or that would not be answered in time any more when its turn
comes, costs nothing more.

The rows of a batch wait in a lane of their own. While both lanes wait, a worker that gets free serves them in turn, and
rows hold at most half of the queue: however many batches come, a single request waits for no more rows than there are
workers and single requests before it, and finds a place.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from service.metrics import Metrics
from service.problems import DEADLINE, DRAINING, QUEUE_FULL, Problem

T = TypeVar("T")

SMOOTHING = 0.1
FIRST_GUESS = 0.01
"""Seconds that a run is thought to take before one was seen."""

SPARE = 1.25
"""Times the predicted seconds that a request must have left to be let into the queue: what is answered late is work for
nothing, and runs vary."""

Leaving = Callable[[], Coroutine[Any, Any, None]]
"""Returns when the client has left."""


class Lane(Enum):
    """Where a request waits."""

    SINGLE = "single"
    BATCH = "batch"


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


class Ran(NamedTuple, Generic[T]):
    """The result of a run, and the seconds that it waited for a worker."""

    result: T
    waited: float


class Scheduler:
    """A pool of threads behind a bounded queue; every method belongs to the event loop."""

    def __init__(self, workers: int, queue: int, metrics: Metrics) -> None:
        """Runs ``workers`` calls at once, while at most ``queue`` admitted requests wait."""
        self.draining = False
        self._workers = workers
        self._queue = queue
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="search")
        self._free = workers
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._admitted = dict.fromkeys(Lane, 0)
        self._served = Lane.BATCH
        self._mean_run = FIRST_GUESS

    @property
    def largest_batch(self) -> int:
        """Rows that batches may have admitted at once, and so the most that one may have."""
        return self._workers + self._queue // 2

    @property
    def predicted_wait(self) -> float:
        """Seconds that a request admitted now would wait for a worker."""
        return self._predicted_wait(Lane.SINGLE, 1)

    def admit(self, seconds: float) -> "Ticket":
        """Lets a request in that must be answered within ``seconds``.

        Raises:
            Problem: 503 while the service stops; 429 if the queue is full or the request would wait past its deadline.
        """
        self._check_room(Lane.SINGLE, 1, seconds)
        return Ticket(self, time.monotonic() + seconds, Lane.SINGLE)

    def admit_batch(self, seconds: Sequence[float]) -> "list[Ticket]":
        """Lets all rows of a batch in, or none; each must be answered within its ``seconds``.

        Raises:
            Problem: 503 while the service stops; 429 if the queue has no room for all, or even the most patient one
                would wait past its deadline.
        """
        self._check_room(Lane.BATCH, len(seconds), max(seconds))
        now = time.monotonic()
        return [Ticket(self, now + each, Lane.BATCH) for each in seconds]

    def close(self) -> None:
        """Lets running work end and starts no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def enter(self, lane: Lane) -> None:
        """Counts an admitted request."""
        self._admitted[lane] += 1

    def leave(self, lane: Lane) -> None:
        """Forgets an admitted request."""
        self._admitted[lane] -= 1

    async def run(self, work: Callable[[], T], deadline: float, lane: Lane, leaving: Leaving) -> T:
        """Waits for a worker and runs ``work`` there, for :meth:`Ticket.run`."""
        if self._free:
            self._free -= 1
            self._served = lane
        else:
            await self._wait_for_turn(deadline, lane, leaving)
        started = time.monotonic()
        self._metrics.in_flight.inc()
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(lambda _: self._finished(started))
        done, _ = await asyncio.wait({future}, timeout=deadline - started)
        if not done:
            future.add_done_callback(asyncio.Future.exception)
            raise self._expired()
        return future.result()

    def _check_room(self, lane: Lane, rows: int, seconds: float) -> None:
        """Raises a Problem unless ``rows`` more can wait in ``lane`` and be served within ``seconds``."""
        if self.draining:
            self._metrics.rejected.labels(reason="draining").inc()
            raise Problem(DRAINING, "ask another replica", retry_after=1)
        wait = self._predicted_wait(lane, rows)
        admitted = sum(self._admitted.values())
        is_full = admitted + rows > self._workers + self._queue
        is_late = wait > 0 and (wait + self._mean_run) * SPARE >= seconds
        if lane is Lane.BATCH:
            is_full = is_full or self._admitted[lane] + rows > self.largest_batch
        if is_full or is_late:
            self._metrics.rejected.labels(reason="queue_full").inc()
            detail = f"{admitted} requests are being answered; {rows} more would wait about {wait:.3f} s"
            raise Problem(QUEUE_FULL, detail, retry_after=max(1, math.ceil(wait)))

    def _predicted_wait(self, lane: Lane, rows: int) -> float:
        """Seconds that the last of ``rows`` more in ``lane`` would wait; of the other lane one goes for each of it."""
        own, other = (lane, Lane.BATCH) if lane is Lane.SINGLE else (lane, Lane.SINGLE)
        before = self._admitted[own] + rows - 1
        admitted = before + min(self._admitted[other], before + self._workers)
        waiting = len(self._waiting[own]) + rows - 1
        busy = self._workers - self._free + waiting + min(len(self._waiting[other]), waiting + 1)
        ahead = max(admitted, busy) - self._workers + 1
        return max(0, ahead) * self._mean_run / self._workers

    async def _wait_for_turn(self, deadline: float, lane: Lane, leaving: Leaving) -> None:
        """Waits in the queue for a worker, who then belongs to the caller."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone = asyncio.create_task(leaving())
        self._waiting[lane].append(turn)
        self._show_queue()
        mine = False
        try:
            await asyncio.wait({turn, gone}, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
            in_time = deadline - time.monotonic() >= self._mean_run
            mine = turn.done() and not gone.done() and in_time
        finally:
            self._end_turn(turn, lane, mine)
            left = not gone.cancel()
        if not mine:
            raise self._abandoned() if left else self._expired()

    def _end_turn(self, turn: asyncio.Future[None], lane: Lane, mine: bool) -> None:
        """Leaves the queue; a worker that came too late to be of use goes to the next."""
        if not turn.done():
            self._waiting[lane].remove(turn)
        elif not mine:
            self._hand_over()
        self._show_queue()

    def _finished(self, started: float) -> None:
        """A run has ended, whether or not anybody still waits for it."""
        self._metrics.in_flight.dec()
        self._mean_run += SMOOTHING * (time.monotonic() - started - self._mean_run)
        self._hand_over()

    def _hand_over(self) -> None:
        """Gives a worker to the first in the queue: of the lane that was not served last, if somebody waits there."""
        for lane in sorted(Lane, key=lambda lane: lane is self._served):
            if self._waiting[lane]:
                self._served = lane
                self._waiting[lane].popleft().set_result(None)
                return
        self._free += 1

    def _show_queue(self) -> None:
        """Shows how many wait."""
        self._metrics.queued.set(sum(map(len, self._waiting.values())))

    def _expired(self) -> Problem:
        """The 504 of a request whose time is up."""
        self._metrics.expired.inc()
        return Problem(
            DEADLINE, "the deadline has passed; give the request more time or a narrower beam", retry_after=1
        )

    def _abandoned(self) -> ClientLeftError:
        """Ends a request that nobody waits for."""
        self._metrics.abandoned.inc()
        return ClientLeftError()


class Ticket:
    """An admitted request: a place in the queue for as long as the ``with`` block lasts."""

    def __init__(self, scheduler: Scheduler, deadline: float, lane: Lane) -> None:
        """Made by :meth:`Scheduler.admit`; ``deadline`` is on the monotonic clock."""
        self._scheduler = scheduler
        self._deadline = deadline
        self._lane = lane

    def __enter__(self) -> Self:
        """Takes the place."""
        self._scheduler.enter(self._lane)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the place up."""
        self._scheduler.leave(self._lane)

    async def run(self, work: Callable[[], T], leaving: Leaving) -> Ran[T]:
        """Runs ``work`` on a worker's thread when it is this request's turn.

        Raises:
            Problem: 504 if the deadline passes; a run that has begun then ends unseen.
            ClientLeftError: if the client leaves before the run begins.
        """
        queued = time.perf_counter()
        waited = 0.0

        def timed() -> T:
            nonlocal waited
            waited = time.perf_counter() - queued
            return work()

        result = await self._scheduler.run(timed, self._deadline, self._lane, leaving)
        return Ran(result, waited)
