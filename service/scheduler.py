"""Who may run when: admission before any work, as many runs at once as workers, a deadline for everybody.

A request is admitted or refused at once, by the time that it would have to wait. Admitted ones wait for a worker in
order. One whose deadline passes or whose client leaves while it waits costs nothing more.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from service.metrics import Metrics
from service.problems import DEADLINE, DRAINING, QUEUE_FULL, Problem

T = TypeVar("T")

SMOOTHING = 0.1
FIRST_GUESS = 0.01
"""Seconds that a run is thought to take before one was seen."""

Leaving = Callable[[], Coroutine[Any, Any, None]]
"""Returns when the client has left."""


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
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._admitted = 0
        self._mean_run = FIRST_GUESS

    @property
    def predicted_wait(self) -> float:
        """Seconds that a request admitted now would wait for a worker."""
        busy = self._workers - self._free + len(self._waiting)
        ahead = max(self._admitted, busy) - self._workers + 1
        return max(0, ahead) * self._mean_run / self._workers

    def admit(self, seconds: float) -> "Ticket":
        """Lets a request in that must be answered within ``seconds``.

        Raises:
            Problem: 503 while the service stops; 429 if the queue is full or the request would wait past its deadline.
        """
        if self.draining:
            self._metrics.rejected.labels(reason="draining").inc()
            raise Problem(DRAINING, "ask another replica", retry_after=1)
        wait = self.predicted_wait
        if self._admitted >= self._workers + self._queue or wait >= seconds:
            self._metrics.rejected.labels(reason="queue_full").inc()
            detail = f"{self._admitted} requests are being answered; one more would wait about {wait:.3f} s"
            raise Problem(QUEUE_FULL, detail, retry_after=max(1, math.ceil(wait)))
        return Ticket(self, time.monotonic() + seconds)

    def close(self) -> None:
        """Lets running work end and starts no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def enter(self) -> None:
        """Counts an admitted request."""
        self._admitted += 1

    def leave(self) -> None:
        """Forgets an admitted request."""
        self._admitted -= 1

    async def run(self, work: Callable[[], T], deadline: float, leaving: Leaving) -> T:
        """Waits for a worker and runs ``work`` there, for :meth:`Ticket.run`."""
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_turn(deadline, leaving)
        started = time.monotonic()
        self._metrics.in_flight.inc()
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(lambda _: self._finished(started))
        done, _ = await asyncio.wait({future}, timeout=deadline - started)
        if not done:
            future.add_done_callback(asyncio.Future.exception)
            raise self._expired()
        return future.result()

    async def _wait_for_turn(self, deadline: float, leaving: Leaving) -> None:
        """Waits in the queue for a worker, who then belongs to the caller."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone = asyncio.create_task(leaving())
        self._waiting.append(turn)
        self._metrics.queued.set(len(self._waiting))
        mine = False
        try:
            await asyncio.wait({turn, gone}, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED)
            mine = turn.done() and not gone.done()
        finally:
            self._end_turn(turn, mine)
            left = not gone.cancel()
        if not mine:
            raise self._abandoned() if left else self._expired()

    def _end_turn(self, turn: asyncio.Future[None], mine: bool) -> None:
        """Leaves the queue; a worker that came too late to be of use goes to the next."""
        if not turn.done():
            self._waiting.remove(turn)
        elif not mine:
            self._hand_over()
        self._metrics.queued.set(len(self._waiting))

    def _finished(self, started: float) -> None:
        """A run has ended, whether or not anybody still waits for it."""
        self._metrics.in_flight.dec()
        self._mean_run += SMOOTHING * (time.monotonic() - started - self._mean_run)
        self._hand_over()

    def _hand_over(self) -> None:
        """Gives a worker to the first in the queue."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._free += 1

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

    def __init__(self, scheduler: Scheduler, deadline: float) -> None:
        """Made by :meth:`Scheduler.admit`; ``deadline`` is on the monotonic clock."""
        self._scheduler = scheduler
        self._deadline = deadline

    def __enter__(self) -> Self:
        """Takes the place."""
        self._scheduler.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the place up."""
        self._scheduler.leave()

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

        result = await self._scheduler.run(timed, self._deadline, leaving)
        return Ran(result, waited)
