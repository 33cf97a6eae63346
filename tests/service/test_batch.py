"""POST /recommend/batch: rows are answered as alone, fail alone, and are let in together or not at all."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from service.query import Query, Recommendation
from service.recommender import Recommender
from service.snapshot import Snapshot
from tests.bundles import item_id
from tests.serving import BlockedRecommender, MakeSettings, Start, metric, running, service_of, until

HISTORY = [item_id(3), item_id(4), item_id(5)]


def ask(client: TestClient, *rows: Any) -> list[dict[str, Any]]:
    response = client.post("/recommend/batch", json={"requests": rows})
    assert response.status_code == 200, response.text
    answers: list[dict[str, Any]] = response.json()["answers"]
    return answers


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("timings_ms", "request_id")}


def test_every_row_is_answered_as_alone_and_in_its_place(start: Start) -> None:
    client = start()
    client.post("/events", json={"user_id": "ann", "item_id": item_id(7)}).raise_for_status()
    rows: list[Any] = [
        {"history": HISTORY, "k": 3},
        {"history": HISTORY, "k": 0},
        {"history": []},
        {"user_id": "ann", "history": HISTORY, "explain": True},
        {"history": HISTORY, "k": 201},
        {"history": HISTORY, "unheard": "of"},
        {"history": HISTORY, "weights": {"smell": 1}},
        "no request",
        None,
        {},
        {"history": HISTORY, "k": 60, "exclude": HISTORY, "beam": 7},
    ]
    answers = ask(client, *rows)
    alone = [client.post("/recommend", json=row) for row in rows]
    assert [answer.get("status", 200) for answer in answers] == [answer.status_code for answer in alone]
    for answer, single, row in zip(answers, alone, rows, strict=True):
        if isinstance(row, dict):
            assert without_times(answer) == without_times(single.json())
    assert {answer["type"] for answer in answers if "type" in answer} == {"urn:macrec:problem:invalid-request"}
    assert metric(client, 'macrec_batch_rows_total{result="answered"}') == 4
    assert metric(client, 'macrec_batch_rows_total{result="failed"}') == 7


def test_a_row_that_cannot_wait_fails_alone(start: Start) -> None:
    answers = ask(start(workers=1), *[{"history": HISTORY}] * 5, {"history": HISTORY, "timeout": 1e-9})
    assert [answer.get("status", 200) for answer in answers] == [200] * 5 + [504]


def test_a_batch_of_nothing_but_bad_rows_is_answered_too(start: Start) -> None:
    assert [answer["status"] for answer in ask(start(), {}, {"k": 1})] == [422, 422]


@pytest.mark.parametrize("body", [{}, {"requests": []}, {"requests": {}}, [], {"requests": [{}], "k": 3}])
def test_a_bad_batch_is_a_422(start: Start, body: Any) -> None:
    assert start().post("/recommend/batch", json=body).status_code == 422


def test_the_limit_is_the_servers_and_what_its_queue_can_hold(start: Start) -> None:
    row: dict[str, Any] = {"history": []}
    client = start(max_batch=3)
    assert len(ask(client, row, row, row)) == 3
    refused = client.post("/recommend/batch", json={"requests": [row] * 4})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.requests")
    client = start(workers=1, queue=2)
    assert len(ask(client, row, row)) == 2
    assert client.post("/recommend/batch", json={"requests": [row] * 3}).status_code == 422


def test_a_row_that_breaks_the_service_fails_alone(start: Start) -> None:
    class Fragile(Recommender):
        def recommend(self, snapshot: Snapshot, query: Query) -> Recommendation:
            if query.k == 7:
                raise ZeroDivisionError
            return super().recommend(snapshot, query)

    client = start()
    service_of(client).recommender = Fragile(max_beam=200)
    good, bad = ask(client, {"history": HISTORY, "k": 3}, {"history": HISTORY, "k": 7})
    assert len(good["items"]) == 3
    assert (bad["status"], bad["type"]) == (500, "urn:macrec:problem:internal-error")
    assert "ZeroDivision" not in str(bad)


def test_a_service_that_starts_or_drains_takes_no_batch(start: Start) -> None:
    body: dict[str, Any] = {"requests": [{"history": []}]}
    client = start()
    service_of(client).scheduler.draining = True
    assert client.post("/recommend/batch", json=body).status_code == 503
    assert start(wait=False, bundle="no/such/bundle").post("/recommend/batch", json=body).status_code == 503


Blocked = tuple[str, BlockedRecommender, ThreadPoolExecutor]


@pytest.fixture
def blocked(settings: MakeSettings) -> Iterator[Blocked]:
    """A server with one worker and ten places in the queue, whose searches wait until they are allowed."""
    with running(settings(workers=1, queue=10)) as (server, url), ThreadPoolExecutor(16) as pool:
        recommender = BlockedRecommender(server.service.recommender)
        server.service.recommender = recommender
        yield url, recommender, pool
        recommender.allowed.set()


def post(url: str, rows: int, **extra: Any) -> httpx.Response:
    body = {"requests": [{"history": HISTORY, "k": 1, **extra}] * rows}
    return httpx.post(f"{url}/recommend/batch", json=body, timeout=20)


def queued(url: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("macrec_queued_requests ")).split()[-1])


def test_batches_are_refused_whole_and_leave_room_and_turns_for_single_requests(blocked: Blocked) -> None:
    url, recommender, pool = blocked
    first = pool.submit(post, url, 6)
    until(lambda: queued(url) == 5)
    refused = post(url, 1)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    singles = [
        pool.submit(httpx.post, f"{url}/recommend", json={"history": HISTORY, "k": 2}, timeout=20) for _ in range(3)
    ]
    until(lambda: queued(url) == 8)
    recommender.allowed.set()
    assert [single.result().status_code for single in singles] == [200] * 3
    assert [answer["rank"] for row in first.result().json()["answers"] for answer in row["items"]] == [1] * 6
    assert [query.k for query in recommender.begun] == [1, 2, 1, 2, 1, 2, 1, 1, 1]


def test_rows_past_their_deadline_are_told_so_in_their_place(blocked: Blocked) -> None:
    url, recommender, _ = blocked
    answers = post(url, 3, timeout=0.3).json()["answers"]
    assert [answer["status"] for answer in answers] == [504] * 3
    assert len(recommender.begun) == 1


def test_a_client_that_leaves_takes_all_its_waiting_rows_along(blocked: Blocked) -> None:
    url, recommender, _ = blocked
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/recommend/batch", json={"requests": [{"history": HISTORY}] * 4}, timeout=0.5)
    until(lambda: queued(url) == 0)
    recommender.allowed.set()
    time.sleep(0.1)
    assert len(recommender.begun) == 1
    assert post(url, 6).status_code == 200
