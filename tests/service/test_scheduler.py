"""Admission, order, deadlines and leaving clients, with work that ends when the test says so."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from service.metrics import Metrics
from service.problems import Problem
from service.scheduler import FIRST_GUESS, SPARE, ClientLeftError, Scheduler, Ticket


async def never() -> None:
    """A client that stays."""
    await asyncio.Event().wait()


class Gate:
    """Work that waits to be let through, and remembers who came."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.came: list[int] = []

    def work(self, number: int) -> int:
        self.came.append(number)
        assert self.open.wait(10)
        return number


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


async def ask(scheduler: Scheduler, gate: Gate, number: int, seconds: float = 10, leaving: Any = never) -> int:
    with scheduler.admit(seconds) as ticket:
        return (await ticket.run(lambda: gate.work(number), leaving)).result


def ask_batch(scheduler: Scheduler, gate: Gate, numbers: Sequence[int]) -> list[asyncio.Task[int]]:
    """Has all rows admitted at once."""

    async def row(ticket: Ticket, stack: ExitStack, number: int) -> int:
        with stack:
            return (await ticket.run(lambda: gate.work(number), never)).result

    tasks = []
    for ticket, number in zip(scheduler.admit_batch([10] * len(numbers)), numbers, strict=True):
        stack = ExitStack()
        stack.enter_context(ticket)
        tasks.append(asyncio.create_task(row(ticket, stack, number)))
    return tasks


async def settle() -> None:
    """Lets every task go as far as it can."""
    await asyncio.sleep(0.05)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


def test_as_many_run_at_once_as_there_are_workers_and_the_rest_wait_in_order() -> None:
    async def scenario() -> None:
        metrics, gate = Metrics(0.1), Gate()
        scheduler = Scheduler(2, 10, metrics)
        tasks = [asyncio.create_task(ask(scheduler, gate, number)) for number in range(5)]
        await settle()
        assert sorted(gate.came) == [0, 1]
        assert value(metrics, "macrec_queued_requests") == 3
        assert value(metrics, "macrec_in_flight_searches") == 2
        gate.open.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]
        assert value(metrics, "macrec_queued_requests") == 0
        assert value(metrics, "macrec_in_flight_searches") == 0
        scheduler.close()

    run(scenario())


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        metrics, gate = Metrics(0.1), Gate()
        scheduler = Scheduler(1, 1, metrics)
        tasks = [asyncio.create_task(ask(scheduler, gate, number)) for number in range(2)]
        await settle()
        with pytest.raises(Problem) as refused:
            scheduler.admit(10)
        assert refused.value.status_code == 429
        assert int(dict(refused.value.headers or {})["Retry-After"]) >= 1
        assert value(metrics, "macrec_rejected_total", reason="queue_full") == 1
        gate.open.set()
        await asyncio.gather(*tasks)
        with scheduler.admit(10):
            pass
        scheduler.close()

    run(scenario())


def test_a_request_that_would_wait_past_its_deadline_is_not_let_in() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = Scheduler(1, 100, Metrics(0.1))
        tasks = [asyncio.create_task(ask(scheduler, gate, number)) for number in range(20)]
        await settle()
        assert scheduler.predicted_wait > 0.1
        with pytest.raises(Problem) as refused:
            scheduler.admit(0.1)
        assert refused.value.status_code == 429
        gate.open.set()
        await asyncio.gather(*tasks)
        scheduler.close()

    run(scenario())


def test_a_request_that_would_be_answered_too_late_is_not_let_in_and_one_with_time_to_spare_is() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = Scheduler(1, 100, Metrics(0.1))
        tasks = [asyncio.create_task(ask(scheduler, gate, number)) for number in range(20)]
        await settle()
        wait = scheduler.predicted_wait
        assert wait == pytest.approx(20 * FIRST_GUESS)
        with pytest.raises(Problem) as refused:
            scheduler.admit((wait + FIRST_GUESS) * SPARE)
        assert refused.value.status_code == 429
        scheduler.admit((wait + FIRST_GUESS) * SPARE + 0.01)
        gate.open.set()
        await asyncio.gather(*tasks)
        scheduler.close()

    run(scenario())


def test_a_free_worker_serves_whatever_deadline() -> None:
    """However long runs took before: a request that is tried is how they are found to be quicker."""

    async def scenario() -> None:
        scheduler = Scheduler(1, 10, Metrics(0.1))
        with scheduler.admit(10) as ticket:
            await ticket.run(lambda: time.sleep(2), never)
        # Shorter than a run is thought to take now, and long enough for a busy machine.
        with scheduler.admit(0.2) as ticket:
            assert (await ticket.run(lambda: "quick", never)).result == "quick"
        scheduler.close()

    run(scenario())


def test_a_request_whose_turn_comes_too_late_for_a_run_costs_none() -> None:
    async def scenario() -> None:
        metrics, gate = Metrics(0.1), Gate()
        scheduler = Scheduler(1, 10, metrics)
        with scheduler.admit(10) as ticket:
            await ticket.run(lambda: time.sleep(1), never)
        tasks = [asyncio.create_task(ask(scheduler, gate, number, seconds)) for number, seconds in ((0, 10), (1, 0.5))]
        asyncio.get_running_loop().call_later(0.42, gate.open.set)
        assert await tasks[0] == 0
        with pytest.raises(Problem) as expired:
            await tasks[1]
        assert expired.value.status_code == 504
        assert await ask(scheduler, gate, 2) == 2
        assert gate.came == [0, 2], "less was left than the tenth of a second that a run took on average"
        scheduler.close()

    run(scenario())


def test_an_expired_request_never_runs() -> None:
    async def scenario() -> None:
        metrics, gate = Metrics(0.1), Gate()
        scheduler = Scheduler(1, 10, metrics)
        first = asyncio.create_task(ask(scheduler, gate, 0))
        await settle()
        with pytest.raises(Problem) as expired:
            await ask(scheduler, gate, 1, seconds=0.1)
        assert expired.value.status_code == 504
        assert value(metrics, "macrec_expired_total") == 1
        gate.open.set()
        assert await first == 0
        assert await ask(scheduler, gate, 2) == 2
        assert gate.came == [0, 2]
        scheduler.close()

    run(scenario())


def test_a_run_past_its_deadline_is_a_504_and_keeps_its_worker_until_it_ends() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = Scheduler(1, 10, Metrics(0.1))
        with pytest.raises(Problem) as expired:
            await ask(scheduler, gate, 0, seconds=0.1)
        assert expired.value.status_code == 504
        second = asyncio.create_task(ask(scheduler, gate, 1))
        await settle()
        assert gate.came == [0]
        gate.open.set()
        assert await second == 1
        scheduler.close()

    run(scenario())


def test_a_client_that_leaves_while_waiting_costs_nothing() -> None:
    async def scenario() -> None:
        metrics, gate, gone = Metrics(0.1), Gate(), asyncio.Event()

        async def leaving() -> None:
            await gone.wait()

        scheduler = Scheduler(1, 10, metrics)
        first = asyncio.create_task(ask(scheduler, gate, 0))
        second = asyncio.create_task(ask(scheduler, gate, 1, leaving=leaving))
        third = asyncio.create_task(ask(scheduler, gate, 2))
        await settle()
        gone.set()
        with pytest.raises(ClientLeftError):
            await second
        gate.open.set()
        assert list(await asyncio.gather(first, third)) == [0, 2]
        assert gate.came == [0, 2]
        assert value(metrics, "macrec_abandoned_total") == 1
        scheduler.close()

    run(scenario())


def test_a_request_cancelled_while_waiting_leaves_the_queue() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = Scheduler(1, 10, Metrics(0.1))
        first, second, third = (asyncio.create_task(ask(scheduler, gate, number)) for number in range(3))
        await settle()
        second.cancel()
        gate.open.set()
        assert list(await asyncio.gather(first, third)) == [0, 2]
        assert gate.came == [0, 2]
        scheduler.close()

    run(scenario())


def test_a_request_cancelled_in_the_moment_of_its_turn_hands_it_on() -> None:
    async def scenario() -> None:
        gate = Gate()
        gate.open.set()
        scheduler = Scheduler(1, 10, Metrics(0.1))

        def work() -> int:
            return gate.work(0)

        with scheduler.admit(10) as ticket:
            running = asyncio.create_task(ticket.run(work, never))
            second = asyncio.create_task(ask(scheduler, gate, 1))
            third = asyncio.create_task(ask(scheduler, gate, 2))
            running.add_done_callback(lambda _: second.cancel())
            await running
        assert await third == 2
        assert await ask(scheduler, gate, 3) == 3
        scheduler.close()

    run(scenario())


def test_work_that_fails_gives_its_worker_back() -> None:
    async def scenario() -> None:
        scheduler = Scheduler(1, 10, Metrics(0.1))

        def fail() -> None:
            raise ValueError("broken")

        for _ in range(3):
            with scheduler.admit(10) as ticket, pytest.raises(ValueError, match="broken"):
                await ticket.run(fail, never)
        scheduler.close()

    run(scenario())


def test_single_requests_and_rows_of_batches_are_served_in_turn() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = Scheduler(1, 20, Metrics(0.1))
        rows = ask_batch(scheduler, gate, range(100, 106))
        await settle()
        singles = [asyncio.create_task(ask(scheduler, gate, number)) for number in range(3)]
        await settle()
        gate.open.set()
        assert await asyncio.gather(*rows, *singles) == [100, 101, 102, 103, 104, 105, 0, 1, 2]
        assert gate.came == [100, 0, 101, 1, 102, 2, 103, 104, 105]
        scheduler.close()

    run(scenario())


def test_a_batch_is_admitted_whole_or_not_at_all_and_leaves_half_of_the_queue_to_others() -> None:
    async def scenario() -> None:
        metrics, gate = Metrics(0.1), Gate()
        scheduler = Scheduler(2, 10, metrics)
        assert scheduler.largest_batch == 7
        with pytest.raises(Problem) as refused:
            scheduler.admit_batch([10] * 8)
        assert refused.value.status_code == 429
        assert "Retry-After" in dict(refused.value.headers or {})
        rows = ask_batch(scheduler, gate, range(100, 105))
        with pytest.raises(Problem):
            scheduler.admit_batch([10] * 3)
        rows += ask_batch(scheduler, gate, range(105, 107))
        singles = [asyncio.create_task(ask(scheduler, gate, number)) for number in range(5)]
        await settle()
        with pytest.raises(Problem):
            scheduler.admit(10)
        assert value(metrics, "macrec_rejected_total", reason="queue_full") == 3
        gate.open.set()
        assert sorted(await asyncio.gather(*rows, *singles)) == [*range(5), *range(100, 107)]
        scheduler.admit_batch([10] * 7)
        scheduler.close()

    run(scenario())


def test_a_batch_whose_last_row_would_wait_past_its_deadline_is_not_let_in() -> None:
    async def scenario() -> None:
        scheduler = Scheduler(1, 100, Metrics(0.1))
        scheduler.admit_batch([0.1] * 5)
        with pytest.raises(Problem) as refused:
            scheduler.admit_batch([0.1] * 20)
        assert refused.value.status_code == 429
        scheduler.admit_batch([0.1] * 19 + [10])
        scheduler.close()

    run(scenario())


def test_rows_that_wait_hardly_delay_a_single_request() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = Scheduler(1, 100, Metrics(0.1))
        rows = ask_batch(scheduler, gate, range(50))
        await settle()
        assert scheduler.predicted_wait < 0.05
        with scheduler.admit(0.1):
            pass
        gate.open.set()
        await asyncio.gather(*rows)
        scheduler.close()

    run(scenario())


def test_a_draining_scheduler_refuses_with_503() -> None:
    async def scenario() -> None:
        scheduler = Scheduler(1, 1, Metrics(0.1))
        scheduler.draining = True
        with pytest.raises(Problem) as refused:
            scheduler.admit(1)
        assert refused.value.status_code == 503
        assert dict(refused.value.headers or {})["Retry-After"] == "1"
        scheduler.close()

    run(scenario())


def test_the_time_spent_waiting_is_told() -> None:
    async def scenario() -> None:
        gate = Gate()
        scheduler = Scheduler(1, 10, Metrics(0.1))
        first = asyncio.create_task(ask(scheduler, gate, 0))
        await settle()

        async def second() -> float:
            with scheduler.admit(10) as ticket:
                return (await ticket.run(lambda: None, never)).waited

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.1)
        gate.open.set()
        await first
        assert await waiting >= 0.1
        scheduler.close()

    run(scenario())
