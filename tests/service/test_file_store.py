"""Histories in a folder: one process, group commits, compaction, and writes that the disk refuses."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from model.errors import ConfigError, DataError
from service.file_store import LOG_FILE, FileStore
from service.metrics import Metrics
from service.store import HistoryLimits, StoredEvent, StoreUnavailableError
from tests.service.test_history_log import disk_full_at

LIMITS = HistoryLimits(history=3)
ROOT = Path(__file__).parents[2]
Scenario = Callable[[FileStore], Coroutine[Any, Any, Any]]


class Clock:
    """A time that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def event(item: str, timestamp: float, user: str = "ann") -> StoredEvent:
    return StoredEvent(user, item, timestamp, f"{item}@{timestamp}")


def with_store(folder: Path, scenario: Scenario, limits: HistoryLimits = LIMITS, **options: Any) -> Any:
    """Opens a store, plays a scenario and closes it."""

    async def play() -> Any:
        store = FileStore(folder, limits, options.pop("metrics", None) or Metrics(0.1), **options)
        try:
            await store.open()
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(play())


def lines(folder: Path) -> int:
    return (folder / LOG_FILE).read_bytes().count(b"\n")


def test_writes_that_come_together_are_synced_together_and_counted_apart(tmp_path: Path) -> None:
    async def scenario(store: FileStore) -> None:
        first = event("a", 1)
        writes = [store.append([event(str(number), number, f"user {number}")]) for number in range(500)]
        assert await asyncio.gather(store.append([first]), store.append([first]), *writes) == [1, 0] + [1] * 500

    with_store(tmp_path, scenario)
    assert lines(tmp_path) <= 3


def test_repeated_events_do_not_grow_the_file(tmp_path: Path) -> None:
    async def scenario(store: FileStore) -> None:
        await store.append([event("a", 1)])
        before = (tmp_path / LOG_FILE).stat().st_size
        assert await store.append([event("a", 1), event("a", 1)]) == 0
        assert (tmp_path / LOG_FILE).stat().st_size == before

    with_store(tmp_path, scenario)


def test_what_the_disk_refuses_changes_nothing_and_later_writes_succeed(tmp_path: Path) -> None:
    async def scenario(store: FileStore) -> None:
        await store.append([event("a", 1)])
        with disk_full_at((tmp_path / LOG_FILE).stat().st_size + 10):
            for write in (store.append([event("b", 2)]), store.delete("ann")):
                with pytest.raises(StoreUnavailableError, match="too large"):
                    await write
            assert await store.read("ann") == ["a"]
        assert await store.append([event("b", 2), event("c", 3)]) == 2
        assert await store.read("ann") == ["a", "b", "c"]

    with_store(tmp_path, scenario)
    assert with_store(tmp_path, lambda store: store.read("ann")) == ["a", "b", "c"]


def test_a_file_that_outgrew_its_content_is_rewritten_and_says_the_same(tmp_path: Path) -> None:
    metrics = Metrics(0.1)

    async def scenario(store: FileStore) -> None:
        sizes = []
        for number in range(200):
            await store.append([event(str(number), number), event("kept", 1, "bob")])
            sizes.append((tmp_path / LOG_FILE).stat().st_size)
        assert max(sizes) < 3000
        assert await store.append([event("kept", 1, "bob")]) == 0

    with_store(tmp_path, scenario, spare=20, metrics=metrics)
    assert (metrics.registry.get_sample_value("macrec_history_compactions_total", {"result": "done"}) or 0) > 3
    assert with_store(tmp_path, lambda store: store.read("ann")) == ["197", "198", "199"]
    assert with_store(tmp_path, lambda store: store.read("bob")) == ["kept"]


def test_a_compaction_that_fails_loses_nothing(tmp_path: Path) -> None:
    metrics = Metrics(0.1)

    async def scenario(store: FileStore) -> None:
        users = [f"user {number}" for number in range(50)]
        await store.append([event("a" * 50, 1, user) for user in users])
        size = (tmp_path / LOG_FILE).stat().st_size
        for user in users[:49]:
            await store.delete(user)
        with disk_full_at(size // 2), pytest.raises(StoreUnavailableError):
            await store.append([event("b", 1)])
        await store.append([event("c", 1)])

    with_store(tmp_path, scenario, spare=1 << 30, metrics=metrics)
    assert with_store(tmp_path, lambda store: store.read("ann")) == ["c"]
    assert with_store(tmp_path, lambda store: store.read("user 49")) == ["a" * 50]


def test_a_deleted_user_is_gone_from_the_file_when_it_is_opened_again(tmp_path: Path) -> None:
    async def scenario(store: FileStore) -> None:
        await store.append([event("a", 1, "secret"), event("b", 1, "bob")])
        await store.delete("secret")

    with_store(tmp_path, scenario)
    assert with_store(tmp_path, lambda store: store.read("bob")) == ["b"]
    assert b"secret" not in (tmp_path / LOG_FILE).read_bytes()


def test_histories_end_with_their_lifetime_also_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    limits = HistoryLimits(history=3, ttl=100.0)

    async def fill(store: FileStore) -> None:
        await store.append([event("a", 1), event("b", 1, "bob")])
        clock.now += 60
        await store.append([event("a", 1), event("c", 2, "bob")])

    async def look(store: FileStore) -> list[list[str]]:
        return [await store.read("ann"), await store.read("bob")]

    with_store(tmp_path, fill, limits, clock=clock)
    assert with_store(tmp_path, look, limits, clock=clock) == [["a"], ["b", "c"]]
    clock.now += 40
    assert with_store(tmp_path, look, limits, clock=clock) == [[], ["b", "c"]]
    assert with_store(tmp_path, lambda store: store.append([event("a", 1)]), limits, clock=clock) == 1
    clock.now += 60
    assert with_store(tmp_path, look, limits, clock=clock) == [["a"], []]


def test_the_user_who_changed_longest_ago_goes_first_also_after_a_restart(tmp_path: Path) -> None:
    limits = HistoryLimits(history=3, users=2)

    async def fill(store: FileStore) -> None:
        await store.append([event("a", 1, "u1"), event("a", 1, "u2"), event("b", 2, "u1")])

    async def look(store: FileStore) -> list[list[str]]:
        await store.append([event("a", 1, "u3")])
        return [await store.read(user) for user in ("u1", "u2", "u3")]

    with_store(tmp_path, fill, limits)
    assert with_store(tmp_path, look, limits) == [["a", "b"], [], ["a"]]
    assert with_store(tmp_path, look, limits) == [["a", "b"], [], ["a"]]


def test_a_second_process_is_told_which_folder_is_taken_and_what_to_do(tmp_path: Path) -> None:
    command = f"""
import asyncio
from pathlib import Path
from service.file_store import FileStore
from service.metrics import Metrics
from service.store import HistoryLimits
asyncio.run(FileStore(Path({str(tmp_path)!r}), HistoryLimits(3), Metrics(0.1)).open())
"""

    async def scenario(_: FileStore) -> "subprocess.CompletedProcess[str]":
        arguments = [sys.executable, "-c", command]
        return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)

    ended: subprocess.CompletedProcess[str] = with_store(tmp_path, scenario)
    assert ended.returncode == 1
    assert f"another process keeps its histories in {tmp_path}" in ended.stderr
    assert "MACREC_STATE" in ended.stderr
    with_store(tmp_path, lambda store: store.read("ann"))


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"{tmp_path}/file"):
        with_store(tmp_path / "file", lambda store: store.read("ann"))


def test_damage_is_an_error_and_gives_the_folder_up(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_bytes(b"something else\n")
    with pytest.raises(DataError, match="line 1"):
        with_store(tmp_path, lambda store: store.read("ann"))
    (tmp_path / LOG_FILE).unlink()
    assert with_store(tmp_path, lambda store: store.read("ann")) == []


def test_before_it_is_open_and_after_it_is_closed_nothing_is_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = FileStore(tmp_path, LIMITS, Metrics(0.1))
        with pytest.raises(StoreUnavailableError):
            await store.append([event("a", 1)])
        await store.open()
        last = asyncio.create_task(store.append([event("a", 1)]))
        await asyncio.sleep(0)
        await store.close()
        assert await last == 1, "a write that was under way ends well"
        with pytest.raises(StoreUnavailableError):
            await store.read("ann")

    asyncio.run(scenario())
