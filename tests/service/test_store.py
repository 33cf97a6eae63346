"""Histories in memory, in a file and in a real Valkey keep the same promises."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.file_store import FileStore
from service.memory_store import MemoryStore
from service.metrics import Metrics
from service.redis_store import PAUSE, RedisHistories, Waits
from service.store import HistoryLimits, HistoryStore, StoredEvent, StoreUnavailableError
from tests.servers import Valkey, start_valkey

LIMITS = HistoryLimits(history=5, remembered=2)
BRIEF = Waits(step=0.05, read=1.0, write=0.2, pool=0.05)
PATIENT = Waits(step=5.0, read=5.0, write=5.0, pool=5.0)
MakeStore = Callable[[], HistoryStore]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with start_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def redis_histories(valkey: Valkey) -> RedisHistories:
    return RedisHistories(valkey.url, LIMITS, PATIENT, connections=4)


@pytest.fixture(params=["memory", "file", "redis"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    if request.param == "memory":
        return lambda: MemoryStore(LIMITS)
    if request.param == "file":
        return lambda: FileStore(tmp_path, LIMITS, Metrics(0.1))
    valkey = request.getfixturevalue("valkey")
    with Redis.from_url(valkey.url) as client:
        client.flushall()
    return lambda: redis_histories(valkey)


def event(item: str, timestamp: float, event_id: str = "", user: str = "ann") -> StoredEvent:
    return StoredEvent(user, item, timestamp, event_id or f"{item}@{timestamp}")


def after(make_store: MakeStore, *batches: list[StoredEvent], user: str = "ann") -> tuple[list[int], list[str]]:
    """How many events of each batch were new, and the user's history in the end."""

    async def scenario() -> tuple[list[int], list[str]]:
        store = make_store()
        await store.open()
        try:
            return [await store.append(batch) for batch in batches], await store.read(user)
        finally:
            await store.close()

    return asyncio.run(scenario())


def test_events_stand_in_the_order_of_time_however_they_arrive(make_store: MakeStore) -> None:
    added, history = after(make_store, [event("c", 3.5), event("a", 1)], [event("b", 2)])
    assert (added, history) == ([2, 1], ["a", "b", "c"])


def test_events_of_one_time_stand_by_their_ids(make_store: MakeStore) -> None:
    _, history = after(make_store, [event("x", 1, "e2"), event("y", 1, "e1"), event("z", 1, "e10")])
    assert history == ["y", "z", "x"]


def test_the_first_event_of_an_id_counts(make_store: MakeStore) -> None:
    added, history = after(make_store, [event("a", 1, "e"), event("a", 1, "e")], [event("b", 2, "e")])
    assert (added, history) == ([1, 0], ["a"])


def test_an_item_may_come_again(make_store: MakeStore) -> None:
    assert after(make_store, [event("a", 1), event("a", 2)])[1] == ["a", "a"]


def test_the_latest_events_are_kept_however_they_arrive(make_store: MakeStore) -> None:
    late_first = [event(str(number), number) for number in range(8, 0, -1)]
    assert after(make_store, late_first)[1] == ["4", "5", "6", "7", "8"]


def test_users_are_apart_and_unknown_ones_have_no_history(make_store: MakeStore) -> None:
    batch = [event("a", 1), event("b", 2, user="bob")]
    assert after(make_store, batch, user="bob")[1] == ["b"]
    assert after(make_store, batch, user="eve")[1] == []


def test_an_event_that_was_capped_away_a_while_ago_is_still_known(make_store: MakeStore) -> None:
    seven = [event(str(number), number, f"e{number}") for number in range(1, 8)]
    repeated = [event("again", 100, "e1"), event("again", 100, "e2")]
    added, history = after(make_store, seven, repeated)
    assert (added, history) == ([7, 0], ["3", "4", "5", "6", "7"])


def test_an_event_older_than_all_that_is_remembered_changes_nothing_and_is_not_counted(make_store: MakeStore) -> None:
    eight = [event(str(number), number) for number in range(1, 9)]
    added, history = after(make_store, eight, eight[:1], [event("older", 0.5)])
    assert (added, history) == ([8, 0, 0], ["4", "5", "6", "7", "8"])


def test_a_deleted_user_is_gone_with_all_that_was_remembered(make_store: MakeStore) -> None:
    async def scenario() -> None:
        store = make_store()
        await store.open()
        await store.append([event(str(number), number) for number in range(9)] + [event("b", 1, user="bob")])
        assert [await store.delete("ann"), await store.delete("ann"), await store.delete("nobody")] == [7, 0, 0]
        assert [await store.read("ann"), await store.read("bob")] == [[], ["b"]]
        assert await store.append([event("1", 1)]) == 1
        assert await store.read("ann") == ["1"]
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["} {", "ä €", "a\nb", ":times", "x" * 512])
def test_any_text_is_a_user_or_an_item(make_store: MakeStore, name: str) -> None:
    assert after(make_store, [event(name, 1, user=name)], user=name)[1] == [name]


def test_memory_forgets_the_user_not_heard_of_for_longest() -> None:
    async def scenario() -> None:
        store = MemoryStore(HistoryLimits(history=5, users=2))
        await store.append([event("a", 1, user="u1"), event("a", 1, user="u2")])
        await store.append([event("b", 2, user="u1"), event("a", 1, user="u3")])
        assert [await store.read(user) for user in ("u1", "u2", "u3")] == [["a", "b"], [], ["a"]]

    asyncio.run(scenario())


async def seconds_of_a_failed_read(store: HistoryStore) -> float:
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        await store.read("ann")
    return time.monotonic() - started


@pytest.mark.parametrize("way", ["kill", "pause"])
def test_a_redis_that_is_away_costs_little_once_and_nothing_then(tmp_path: Path, way: str) -> None:
    async def scenario(valkey: Valkey) -> None:
        store = RedisHistories(valkey.url, LIMITS, BRIEF, connections=4)
        await store.append([event("a", 1)])
        getattr(valkey, way)()
        first, second, *later = [await seconds_of_a_failed_read(store) for _ in range(12)]
        assert max(first, second) < BRIEF.step + 0.5
        assert statistics.median(later) < 0.01
        with pytest.raises(StoreUnavailableError):
            await store.append([event("b", 2)])
        if way == "kill":
            valkey.start()
        else:
            valkey.resume()
        await asyncio.sleep(PAUSE + 0.1)
        assert await store.read("ann") == ["a"]
        assert await store.append([event("b", 2)]) == 1
        await store.close()

    with start_valkey(tmp_path) as valkey:
        asyncio.run(scenario(valkey))


def test_a_full_redis_takes_no_events_and_still_gives_and_forgets_histories(tmp_path: Path) -> None:
    async def scenario(valkey: Valkey) -> None:
        store = redis_histories(valkey)
        await store.append([event("a", 1)])
        with Redis.from_url(valkey.url) as client:
            client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            await store.append([event("b", 2)])
        assert await store.read("ann") == ["a"]
        assert await store.delete("ann") == 1
        await store.close()

    with start_valkey(tmp_path, "--maxmemory-policy", "noeviction") as valkey:
        asyncio.run(scenario(valkey))


def test_a_wrong_password_is_an_unavailable_store(tmp_path: Path) -> None:
    async def scenario(valkey: Valkey) -> None:
        store = RedisHistories(valkey.url.replace("//", "//:wrong@"), LIMITS, PATIENT, connections=4)
        with pytest.raises(StoreUnavailableError):
            await store.append([event("a", 1)])
        with pytest.raises(StoreUnavailableError):
            await store.read("ann")
        await store.close()

    with start_valkey(tmp_path, "--requirepass", "right") as valkey:
        asyncio.run(scenario(valkey))


def test_a_history_in_redis_ends_with_its_lifetime_after_its_last_change(valkey: Valkey) -> None:
    async def scenario() -> None:
        store = RedisHistories(valkey.url, HistoryLimits(history=5, ttl=500.0), PATIENT, connections=4)
        with Redis.from_url(valkey.url) as client:
            await store.append([event("a", 1, user="brief")])
            keys = list(client.scan_iter("macrec:history:{brief}:*"))
            assert len(keys) == 2
            for key in keys:
                assert 499_000 < client.pttl(key) <= 500_000
                client.pexpire(key, 1000)
            await store.append([event("a", 1, user="brief")])
            assert all(client.pttl(key) <= 1000 for key in keys), "a repeated event is no change"
            await store.append([event("b", 2, user="brief")])
            assert all(client.pttl(key) > 499_000 for key in keys)
        await store.close()

    asyncio.run(scenario())


def test_more_requests_than_connections_wait_for_their_turn(valkey: Valkey) -> None:
    async def scenario() -> None:
        store = redis_histories(valkey)
        await store.append([event("a", 1, user="many")])
        assert await asyncio.gather(*(store.read("many") for _ in range(50))) == [["a"]] * 50
        await store.close()

    asyncio.run(scenario())


def test_a_moment_in_which_this_process_was_busy_is_not_taken_for_a_store_that_is_away(valkey: Valkey) -> None:
    """As when a large body is read: whatever waited for an answer then ran out of time."""

    async def scenario() -> None:
        store = RedisHistories(valkey.url, LIMITS, Waits(step=0.5, read=2.0, write=5.0, pool=0.5), connections=4)
        await store.append([event("a", 1, user="busy")])
        waiting = [asyncio.create_task(store.read("busy")) for _ in range(8)]
        while not any(task.done() for task in waiting):
            await asyncio.sleep(0)
        waiting += [asyncio.create_task(store.read("busy")) for _ in range(8)]
        for _ in range(5):
            await asyncio.sleep(0)
        time.sleep(1)
        failed = [each for each in await asyncio.gather(*waiting, return_exceptions=True) if each != ["a"]]
        assert failed, "nothing was going on"
        assert await store.read("busy") == ["a"]
        await store.close()

    asyncio.run(scenario())


def test_a_history_may_be_longer_than_a_script_can_pass_on_at_once(valkey: Valkey) -> None:
    async def scenario() -> None:
        store = RedisHistories(valkey.url, HistoryLimits(history=9000), PATIENT, connections=4)
        for first in range(0, 9000, 1000):
            await store.append([event(str(number), number, user="long") for number in range(first, first + 1000)])
        assert await store.read("long") == [str(number) for number in range(9000)]
        await store.close()

    asyncio.run(scenario())
