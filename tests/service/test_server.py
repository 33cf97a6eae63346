"""The real server over loopback: load, deadlines, clients that leave, and a signal in the middle of it all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.__main__ import Server
from tests.bundles import item_id
from tests.servers import free_port, spawn
from tests.serving import BODY, BlockedRecommender, Clients, MakeSettings, running, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def blocked(settings: MakeSettings) -> Iterator[tuple[Server, Clients, BlockedRecommender]]:
    """A server with one worker and two places in the queue, whose searches wait until they are allowed."""
    with running(settings(workers=1, queue=2)) as (server, url):
        blocked = BlockedRecommender(server.service.recommender)
        server.service.recommender = blocked
        yield server, Clients(url), blocked
        blocked.allowed.set()


Blocked = tuple[Server, Clients, BlockedRecommender]


def test_beyond_the_queue_comes_a_429_at_once_and_probes_still_answer(blocked: Blocked) -> None:
    _, clients, recommender = blocked
    accepted = [clients.ask_soon() for _ in range(3)]
    until(lambda: clients.metric("macrec_queued_requests") == 2)
    started = time.monotonic()
    refused = clients.ask()
    assert time.monotonic() - started < 5, "the accepted ones are held for longer than that"
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:macrec:problem:queue-full"
    assert int(refused.headers["Retry-After"]) >= 1
    for path in ("/livez", "/readyz", "/metrics", "/info"):
        assert httpx.get(clients.url + path).status_code == 200
    recommender.allowed.set()
    assert [answer.result().status_code for answer in accepted] == [200] * 3
    assert len(recommender.begun) == 3


def test_past_its_deadline_a_request_gets_a_504_and_is_never_searched(blocked: Blocked) -> None:
    _, clients, recommender = blocked
    first = clients.ask_soon()
    until(lambda: len(recommender.begun) == 1)
    expired = clients.ask(timeout=0.2)
    assert expired.status_code == 504
    assert expired.json()["type"] == "urn:macrec:problem:deadline-exceeded"
    recommender.allowed.set()
    assert first.result().status_code == 200
    assert len(recommender.begun) == 1
    assert clients.ask().status_code == 200


def test_a_client_that_leaves_the_queue_is_never_searched_for(blocked: Blocked) -> None:
    _, clients, recommender = blocked
    first = clients.ask_soon()
    until(lambda: len(recommender.begun) == 1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{clients.url}/recommend", json=BODY, timeout=0.3)
    until(lambda: clients.metric("macrec_abandoned_total") == 1)
    assert clients.metric("macrec_queued_requests") == 0
    recommender.allowed.set()
    assert first.result().status_code == 200
    assert len(recommender.begun) == 1


def test_a_signal_lets_requests_in_flight_end_and_admits_no_more(blocked: Blocked) -> None:
    server, clients, recommender = blocked
    with httpx.Client(base_url=clients.url) as kept:
        kept.get("/livez").raise_for_status()
        accepted = [clients.ask_soon() for _ in range(3)]
        until(lambda: clients.metric("macrec_queued_requests") == 2)
        server.service.scheduler.draining = True
        assert kept.get("/readyz").status_code == 503
        refused = kept.post("/recommend", json=BODY)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        server.handle_exit(signal.SIGTERM, None)
        time.sleep(0.3)
        recommender.allowed.set()
        assert [answer.result().status_code for answer in accepted] == [200] * 3
    until(lambda: not server.started or not _connects(clients.url))


def test_many_clients_at_once_get_what_one_gets(settings: MakeSettings) -> None:
    with running(settings(workers=2, queue=64)) as (_, url):
        clients = Clients(url)
        histories = [[item_id(number), item_id(number + 1)] for number in range(20)]
        alone = [[item["id"] for item in clients.ask(history=history).json()["items"]] for history in histories]
        together = [clients.ask_soon(history=history) for history in histories]
        assert [[item["id"] for item in answer.result().json()["items"]] for answer in together] == alone


def test_the_command_serves_a_bundle_and_ends_with_sigterm(bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    environment = _environment(MACREC_BUNDLE=str(bundle), MACREC_PORT=str(port))
    process = spawn([sys.executable, "-m", "service"], tmp_path / "log", cwd=ROOT, env=environment)
    try:
        until(lambda: _connects(f"http://127.0.0.1:{port}/readyz"), 60)
        assert httpx.post(f"http://127.0.0.1:{port}/recommend", json=BODY).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, -signal.SIGTERM)
    assert '"message": "serving catalog"' in (tmp_path / "log").read_text()


def test_the_command_ends_if_there_is_no_bundle(tmp_path: Path) -> None:
    environment = _environment(MACREC_BUNDLE=str(tmp_path), MACREC_PORT=str(free_port()))
    ended = run_service(environment)
    assert ended.returncode == 1
    assert b"is no bundle" in ended.stdout


def test_the_command_names_a_setting_that_is_wrong() -> None:
    environment = _environment(MACREC_BEAM="wide")
    ended = run_service(environment)
    assert ended.returncode == 2
    assert b"beam" in ended.stderr


def run_service(environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs the service's command until it ends by itself."""
    command = [sys.executable, "-m", "service"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)


def _environment(**variables: str) -> dict[str, str]:
    """This process' environment without settings of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MACREC_") and name != "REDIS_URL"}
    return {**kept, "MACREC_STATE": "", **variables}


def _connects(url: str) -> bool:
    """Whether a server answers with success."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
