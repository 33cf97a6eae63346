"""A capture is alone, users are together, and nobody waits for ever."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.capture_gate import PATIENCE, CaptureGate


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def test_users_are_inside_together(pool: ThreadPoolExecutor) -> None:
    gate, together = CaptureGate(), threading.Barrier(4, timeout=10)

    def use() -> None:
        with gate.use():
            together.wait()

    for each in [pool.submit(use) for _ in range(4)]:
        each.result(20)


def test_a_capture_is_not_made_while_others_stay() -> None:
    gate = CaptureGate()
    with gate.use():
        started = time.monotonic()
        with gate.capture() as is_alone:
            assert not is_alone
        assert time.monotonic() - started >= PATIENCE
    with gate.capture() as is_alone:
        assert is_alone


def test_a_second_capture_is_not_made(pool: ThreadPoolExecutor) -> None:
    gate = CaptureGate()

    def capture() -> bool:
        with gate.capture() as is_alone:
            return is_alone

    with gate.capture():
        assert not pool.submit(capture).result(20)
    assert pool.submit(capture).result(20)


def test_a_capture_waits_for_those_inside_and_keeps_others_out(pool: ThreadPoolExecutor) -> None:
    gate, order = CaptureGate(), list[str]()
    inside, leave, captured, finish = (threading.Event() for _ in range(4))

    def first() -> None:
        with gate.use():
            inside.set()
            leave.wait(10)
            order.append("first leaves")

    def capture() -> None:
        with gate.capture() as is_alone:
            order.append(f"capture {is_alone}")
            captured.set()
            finish.wait(10)
            order.append("capture ends")

    def second() -> None:
        with gate.use():
            order.append("second uses")

    users = [pool.submit(first)]
    inside.wait(10)
    leave.set()
    users.append(pool.submit(capture))
    assert captured.wait(10)
    users.append(pool.submit(second))
    time.sleep(0.05)
    finish.set()
    for each in users:
        each.result(20)
    assert order == ["first leaves", "capture True", "capture ends", "second uses"]


def test_what_fails_inside_lets_others_in() -> None:
    gate = CaptureGate()
    with pytest.raises(RuntimeError), gate.use():
        raise RuntimeError
    with pytest.raises(RuntimeError), gate.capture():
        raise RuntimeError
    with gate.use():
        pass
    with gate.capture() as is_alone:
        assert is_alone


def test_no_capture_meets_a_user(pool: ThreadPoolExecutor) -> None:
    gate, inside, met, made = CaptureGate(), [0, 0], list[tuple[int, ...]](), list[bool]()
    lock = threading.Lock()

    def enter(kind: int, change: int) -> None:
        with lock:
            inside[kind] += change
            if inside[1] and (inside[0] or inside[1] > 1):
                met.append(tuple(inside))

    def visit(number: int) -> None:
        for turn in range(60):
            if (number + turn) % 4:
                with gate.use():
                    enter(0, 1)
                    time.sleep(0.0002)
                    enter(0, -1)
            else:
                with gate.capture() as is_alone:
                    made.append(is_alone)
                    if is_alone:
                        enter(1, 1)
                        time.sleep(0.0002)
                        enter(1, -1)

    for each in [pool.submit(visit, number) for number in range(8)]:
        each.result(60)
    assert not met
    assert any(made)
