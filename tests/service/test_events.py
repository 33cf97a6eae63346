"""POST /events: histories grow by it, once per event, in the order of time."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.bundles import item_id
from tests.serving import Start, metric, service_of


def history(client: TestClient, user_id: str) -> list[str]:
    portal = client.portal
    assert portal is not None
    return portal.call(service_of(client).histories.read, user_id)


def test_one_event_or_many_are_stored_in_the_order_of_time(start: Start) -> None:
    client = start()
    late = {"user_id": "ann", "item_id": "b", "timestamp": 20}
    early = {"user_id": "ann", "item_id": "a", "timestamp": 10}
    assert client.post("/events", json=late).json() == {"received": 1, "added": 1}
    other = {"user_id": "bob", "item_id": "c"}
    assert client.post("/events", json={"events": [early, other]}).json() == {"received": 2, "added": 2}
    assert history(client, "ann") == ["a", "b"]
    assert history(client, "bob") == ["c"]
    assert metric(client, "macrec_events_total") == 3


@pytest.mark.parametrize("event_id", [{"event_id": "e1"}, {}])
def test_an_event_sent_twice_counts_once(start: Start, event_id: dict[str, str]) -> None:
    client = start()
    event = {"user_id": "ann", "item_id": "a", "timestamp": 10, **event_id}
    assert client.post("/events", json={"events": [event, event]}).json() == {"received": 2, "added": 1}
    assert client.post("/events", json=event).json() == {"received": 1, "added": 0}
    assert history(client, "ann") == ["a"]


def test_undated_events_of_a_batch_keep_their_order(start: Start) -> None:
    client = start()
    items = [f"item {number % 7}" for number in range(50)]
    client.post("/events", json={"events": [{"user_id": "ann", "item_id": item} for item in items]}).raise_for_status()
    assert history(client, "ann") == items


def test_undated_events_without_id_are_all_different(start: Start) -> None:
    client = start()
    event = {"user_id": "ann", "item_id": "a"}
    assert client.post("/events", json={"events": [event, event]}).json()["added"] == 2


def test_a_thousand_events_at_once_are_fine_and_one_more_is_not(start: Start) -> None:
    client = start()
    events = [{"user_id": "ann", "item_id": item_id(number % 50), "timestamp": number} for number in range(1001)]
    assert client.post("/events", json={"events": events[:1000]}).json()["added"] == 1000
    assert len(history(client, "ann")) == service_of(client).settings.history_limit
    assert client.post("/events", json={"events": events}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"events": []},
        {"user_id": "ann"},
        {"user_id": "", "item_id": "a"},
        {"user_id": "ann", "item_id": "a", "timestamp": "yesterday"},
        {"user_id": "ann", "item_id": "a", "timestamp": -1},
        {"user_id": "ann", "item_id": "a", "rating": 5},
        [{"user_id": "ann", "item_id": "a"}],
    ],
)
def test_a_bad_event_is_a_422(start: Start, body: Any) -> None:
    response = start().post("/events", json=body)
    assert response.status_code == 422
    assert response.json()["type"] == "urn:macrec:problem:invalid-request"


def test_with_a_key_set_events_need_it_and_reads_do_not(start: Start) -> None:
    client = start(api_key="secret")
    event = {"user_id": "ann", "item_id": "a"}
    for headers in ({}, {"X-API-Key": "wrong"}):
        response = client.post("/events", json=event, headers=headers)
        assert response.status_code == 401
        assert response.json()["type"] == "urn:macrec:problem:unauthorized"
        assert "WWW-Authenticate" in response.headers
    assert client.post("/events", json=event, headers={"X-API-Key": "secret"}).status_code == 200
    assert client.get("/recommend/ann").status_code == 200


def test_events_are_taken_while_the_model_still_loads(start: Start) -> None:
    client = start(wait=False, bundle="no/such/bundle")
    assert client.post("/events", json={"user_id": "ann", "item_id": "a"}).status_code == 200
