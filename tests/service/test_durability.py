"""What was acknowledged survives kill -9, and whatever Redis does, recommendations go on."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis

from service.file_store import FileStore
from service.metrics import Metrics
from service.redis_store import RedisHistories, Waits
from service.settings import Settings
from service.store import HistoryLimits, StoredEvent, StoreUnavailableError
from tests.bundles import item_id
from tests.servers import Valkey, free_port, spawn, start_valkey
from tests.serving import Start, metric, until

ROOT = Path(__file__).parents[2]
KEEP_ALL = HistoryLimits(history=1_000_000)
USERS = 8


def test_nothing_that_redis_acknowledged_is_lost_when_it_is_killed_and_starts_again(tmp_path: Path) -> None:
    waits = Waits(step=0.5, read=2.0, write=2.0, pool=0.5)

    async def write_until_killed(valkey: Valkey, acknowledged: list[list[str]]) -> None:
        store = RedisHistories(valkey.url, KEEP_ALL, waits, connections=USERS)

        async def write(user: int) -> None:
            for number in range(100_000):
                try:
                    await store.append([StoredEvent(f"user {user}", str(number), number, str(number))])
                except StoreUnavailableError:
                    return
                acknowledged[user].append(str(number))
                if sum(map(len, acknowledged)) == 400:
                    valkey.kill()

        await asyncio.gather(*map(write, range(USERS)))
        await store.close()

    async def read_all(valkey: Valkey) -> list[list[str]]:
        store = RedisHistories(valkey.url, KEEP_ALL, waits, connections=USERS)
        histories = [await store.read(f"user {user}") for user in range(USERS)]
        await store.close()
        return histories

    with start_valkey(tmp_path) as valkey:
        acknowledged: list[list[str]] = [[] for _ in range(USERS)]
        asyncio.run(write_until_killed(valkey, acknowledged))
        assert sum(map(len, acknowledged)) >= 400
        valkey.start()
        for expected, found in zip(acknowledged, asyncio.run(read_all(valkey)), strict=True):
            assert found[: len(expected)] == expected
            assert len(found) <= len(expected) + 1, "at most the write that was under way may be there too"


def test_nothing_that_the_service_acknowledged_is_lost_when_it_is_killed(bundle: Path, tmp_path: Path) -> None:
    process, url = start_service(bundle, tmp_path)
    acknowledged: list[list[str]] = [[] for _ in range(USERS)]

    def write(user: int) -> None:
        with httpx.Client(base_url=url) as client:
            for number in range(100_000):
                events = [{"user_id": f"user-{user}", "item_id": f"{number}-{part}", "timestamp": number + part / 8,
                           "event_id": f"{number}-{part}"} for part in range(3)]  # fmt: skip
                try:
                    client.post("/events", json={"events": events}).raise_for_status()
                except httpx.HTTPError:
                    return
                acknowledged[user] += [str(event["item_id"]) for event in events]

    writers = [threading.Thread(target=write, args=(user,)) for user in range(USERS)]
    for writer in writers:
        writer.start()
    until(lambda: sum(map(len, acknowledged)) > 600, 60)
    process.kill()
    for writer in writers:
        writer.join(30)
    process.wait()
    for expected, found in zip(acknowledged, asyncio.run(read_folder(tmp_path / "state")), strict=True):
        assert found[: len(expected)] == expected
        assert len(found) - len(expected) in (0, 3), "a request is stored as a whole or not at all"
    process, url = start_service(bundle, tmp_path)
    assert httpx.delete(f"{url}/users/user-0").json()["events"] >= len(acknowledged[0])
    process.send_signal(signal.SIGTERM)
    process.wait(20)


async def read_folder(folder: Path) -> list[list[str]]:
    """The histories of all users in a folder that no process uses."""
    store = FileStore(folder, KEEP_ALL, Metrics(0.1))
    await store.open()
    histories = [await store.read(f"user-{user}") for user in range(USERS)]
    await store.close()
    return histories


def start_service(bundle: Path, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A real service that keeps histories in ``folder``, and its address."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MACREC_") and name != "REDIS_URL"}
    own = {
        "MACREC_BUNDLE": str(bundle),
        "MACREC_PORT": str(port),
        "MACREC_STATE": str(folder / "state"),
        "MACREC_HISTORY_LIMIT": "1000000",
        "MACREC_LOG_LEVEL": "WARNING",
    }
    process = spawn([sys.executable, "-m", "service"], folder / "log", cwd=ROOT, env=kept | own)
    url = f"http://127.0.0.1:{port}"
    until(lambda: is_ready(url), 60)
    return process, url


def is_ready(url: str) -> bool:
    """Whether a service can answer."""
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def fill(valkey: Valkey) -> None:
    """Leaves no memory for another write."""
    with Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)


def make_room(valkey: Valkey) -> None:
    """Takes :func:`fill` back."""
    with Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory", 0)


def change_password(valkey: Valkey) -> None:
    """Makes the service's password the wrong one."""
    with Redis.from_url(valkey.url) as client:
        client.config_set("requirepass", "another")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def forget_password(valkey: Valkey) -> None:
    """Takes :func:`change_password` back."""
    with Redis.from_url(valkey.url.replace("//", "//:another@")) as client:
        client.config_set("requirepass", "")


WAYS: dict[str, tuple[Callable[[Valkey], None], Callable[[Valkey], None]]] = {
    "dead": (Valkey.kill, Valkey.start),
    "silent": (Valkey.pause, Valkey.resume),
    "wrong password": (change_password, forget_password),
    "full": (fill, make_room),
}
EVENT = {"user_id": "ann", "item_id": item_id(5), "timestamp": 50}


def recommend(client: TestClient) -> dict[str, Any]:
    """What is recommended to the user whose history is stored."""
    response = client.post("/recommend", json={"user_id": "ann", "history": [item_id(3)]})
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("way", WAYS)
def test_whatever_befalls_redis_reads_go_on_and_writes_are_told_to_come_back(
    start: Start, tmp_path: Path, way: str
) -> None:
    spoil, mend = WAYS[way]
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url, redis_write_timeout=0.3)
        client.post("/events", json={**EVENT, "timestamp": 1}).raise_for_status()
        before = recommend(client)
        assert "histories" not in before["degraded"]
        spoil(valkey)
        for write in (client.post("/events", json=EVENT), client.post("/events", json=EVENT)):
            assert write.status_code == 503
            assert write.headers["Retry-After"] == "1"
            assert write.json()["type"] == "urn:macrec:problem:store-unavailable"
        answer = recommend(client)
        if way == "full":
            assert answer["items"] == before["items"], "a full store can be read"
        else:
            assert "histories" in answer["degraded"]
            assert answer["items"]
        assert metric(client, "macrec_failed_writes_total") == 2
        mend(valkey)
        mended = time.monotonic()
        until(lambda: client.post("/events", json=EVENT).status_code == 200, 5)
        until(lambda: "histories" not in recommend(client)["degraded"], 5)
        assert time.monotonic() - mended < 5
        assert client.delete("/users/ann").json() == {"events": 2}, "what was acknowledged before is there"


def test_a_request_waits_for_its_history_at_most_80_milliseconds() -> None:
    assert Settings(state=None).redis_patience <= 0.08


@contextmanager
def dribbling_server() -> Iterator[str]:
    """A server that never falls silent and never comes to an end: a byte of an answer now and then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def dribble(connection: socket.socket) -> None:
            with connection:
                try:
                    while True:
                        connection.sendall(b"+")
                        time.sleep(0.01)
                except OSError:
                    return  # the client has hung up

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # the listener was closed
                threading.Thread(target=dribble, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_slow_redis_costs_no_more_than_the_patience_however_it_is_slow() -> None:
    waits = Waits(step=0.05, read=0.08, write=0.2, pool=0.05)

    async def scenario(url: str) -> None:
        store = RedisHistories(url, KEEP_ALL, waits, connections=1)
        for longest, call in ((waits.read, store.read("ann")), (waits.write, store.delete("ann"))):
            started = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await call
            assert time.monotonic() - started < longest + 0.5, "the slack is for a busy machine"
        await store.close()

    with dribbling_server() as url:
        asyncio.run(scenario(url))
