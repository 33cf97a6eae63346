"""What tests of the service need around it: waiting, looking inside, and a real server on a loopback port."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
from fastapi.testclient import TestClient

from service.__main__ import Server
from service.query import Query, Recommendation
from service.recommender import Recommender
from service.service import Service
from service.settings import Settings
from service.snapshot import Snapshot
from tests.bundles import item_id

BODY = {"history": [item_id(3)]}

Start = Callable[..., TestClient]
MakeSettings = Callable[..., Settings]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def wait_until_ready(client: TestClient, seconds: float = 20.0) -> None:
    """Waits until the service has loaded."""
    until(lambda: client.get("/readyz").status_code == 200, seconds)


def service_of(client: TestClient) -> Service:
    """The service behind a client."""
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def snapshot_of(client: TestClient) -> Snapshot:
    """What a client's service serves."""
    snapshot = service_of(client).live.snapshot
    assert snapshot is not None
    return snapshot


def metric(client: TestClient, name: str) -> float:
    """The value of one series, as it is scraped."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name + " ")]
    assert len(lines) == 1, f"{name} occurs {len(lines)} times"
    return float(lines[0].split()[-1])


class BlockedRecommender(Recommender):
    """Real answers that wait for permission, so that tests decide how long a search takes."""

    def __init__(self, recommender: Recommender) -> None:
        """Takes over from ``recommender``."""
        super().__init__(recommender.max_beam)
        self.allowed = threading.Event()
        self.begun: list[Query] = []

    def recommend(self, snapshot: Snapshot, query: Query) -> Recommendation:
        """Waits, then answers."""
        self.begun.append(query)
        assert self.allowed.wait(20)
        return super().recommend(snapshot, query)


class Clients:
    """Several clients of one server, each on a thread of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = ThreadPoolExecutor(32)

    def ask(self, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/recommend", json={**BODY, **body}, timeout=20)

    def ask_soon(self, **body: Any) -> Future[httpx.Response]:
        return self._pool.submit(self.ask, **body)

    def metric(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[-1])


@contextmanager
def running(settings: Settings) -> Iterator[tuple[Server, str]]:
    """A real server on a free port of the loopback interface, ready, and its address."""
    server = Server(settings.model_copy(update={"port": 0}))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started and server.service.live.snapshot is not None, 30)
        yield server, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
