"""DELETE /users/{id}: everything goes, as often as it is asked for."""

import pytest

from service.schemas import MAX_ID_LENGTH
from tests.bundles import item_id
from tests.serving import Start, metric


@pytest.mark.parametrize("user", ["ann", "with/a/slash", "ä €"])
def test_a_user_is_forgotten_and_that_again_is_no_error(start: Start, user: str) -> None:
    client = start()
    events = [{"user_id": user, "item_id": item_id(number), "timestamp": number} for number in range(4)]
    client.post("/events", json={"events": events}).raise_for_status()
    assert client.get(f"/recommend/{user}").json()["items"][0]["source"] == "generated"
    assert client.delete(f"/users/{user}").json() == {"events": 4}
    assert client.delete(f"/users/{user}").json() == {"events": 0}
    assert client.get(f"/recommend/{user}").json()["items"][0]["source"] == "popular"
    assert metric(client, "macrec_deleted_users_total") == 2
    assert client.post("/events", json=events[0]).json()["added"] == 1


def test_deleting_needs_the_key(start: Start) -> None:
    client = start(api_key="secret")
    assert client.delete("/users/ann").status_code == 401
    assert client.delete("/users/ann", headers={"X-API-Key": "secret"}).status_code == 200


def test_an_endless_name_is_a_422(start: Start) -> None:
    assert start().delete(f"/users/{'x' * (MAX_ID_LENGTH + 1)}").status_code == 422
