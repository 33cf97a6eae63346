"""Items that are read, listed, put, deleted and hidden through the API."""

import base64
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from model.assignment import assign
from model.bundle import Bundle
from model.item_encoder import ItemEncoder
from tests.bundles import ITEMS, item_id, random_codes
from tests.live_bundles import TEXT_DIM, inputs_of, picture
from tests.servers import start_valkey
from tests.serving import Start, metric, service_of, until

KEY = {"X-API-Key": "secret"}


def body_of(item: int) -> dict[str, Any]:
    """What a client sends of item ``item``."""
    inputs = inputs_of(item)
    body: dict[str, Any] = inputs.metadata()
    if inputs.image is not None:
        body["image"] = base64.b64encode(inputs.image).decode()
    return body


@pytest.fixture
def client(start: Start, live_bundle: Path) -> TestClient:
    return start(bundle=live_bundle)


def recommended(client: TestClient, history: list[str], **more: Any) -> list[str]:
    answer = client.post("/recommend", json={"history": history, "k": 100, "beam": 100, **more})
    answer.raise_for_status()
    return [item["id"] for item in answer.json()["items"]]


def test_an_item_shows_its_metadata_and_semantic_ids(start: Start) -> None:
    client = start()
    item = client.get(f"/items/{item_id(4)}").json()
    assert item["id"] == item_id(4)
    assert item["title"] == "Title 4"
    assert item["metadata"] == {"category": ["toys"], "price": 4.0}
    assert (item["popularity"], item["available"]) == (ITEMS - 4, True)
    codes = random_codes()
    assert item["semantic_ids"] == {"text": codes[0, 4].tolist(), "image": codes[1, 4].tolist()}
    assert item["catalog_version"] == client.get("/info").json()["catalog_version"]


def test_an_unknown_item_is_a_404(start: Start) -> None:
    client = start()
    for response in (
        client.get("/items/unknown"),
        client.get("/items/unknown/similar"),
        client.delete("/items/unknown"),
        client.put("/items/unknown/availability", json={"available": False}),
    ):
        assert response.status_code == 404
        assert response.json()["type"] == "urn:macrec:problem:unknown-item"


def test_a_put_item_is_recommended_with_the_codes_that_the_offline_rule_gives(
    client: TestClient, live_bundle: Path
) -> None:
    before = client.get("/catalog").json()
    answer = client.put("/items/new", json=body_of(3))
    assert answer.status_code == 200
    put = answer.json()
    assert (put["id"], put["sequence"], put["changed"], put["visible"]) == ("new", 1, True, True)
    bundle = Bundle.load(live_bundle)
    encoder = ItemEncoder.load(bundle)
    assert encoder is not None
    latents = encoder.encode([inputs_of(3)]).latents
    base = bundle.catalog().codes
    for part, name in enumerate(("text", "image")):
        assert put["semantic_ids"][name] == assign(latents[part], encoder.codebooks[part], base[part]).codes[0].tolist()
    shown = client.get("/items/new").json()
    assert (shown["title"], shown["metadata"]["price"], shown["popularity"]) == ("Item 3", 3.0, 0)
    assert "new" in recommended(client, ["base-1"])
    assert "new" not in recommended(client, ["base-1", "new"])
    assert recommended(client, ["new"])
    after = client.get("/catalog").json()
    assert after["items"] == before["items"] + 1
    assert (after["sequence"], after["live_items"]) == (1, 1)
    assert after["catalog_version"] == f"{before['catalog_version']}+1"
    assert metric(client, "macrec_live_sequence") == 1


def test_putting_an_item_again_changes_nothing_and_other_content_keeps_the_codes(client: TestClient) -> None:
    first = client.put("/items/new", json=body_of(4)).json()
    again = client.put("/items/new", json=body_of(4)).json()
    assert again == {**first, "changed": False}
    other = client.put("/items/new", json=body_of(5)).json()
    assert (other["sequence"], other["semantic_ids"]) == (2, first["semantic_ids"])
    assert client.get("/items/new").json()["title"] == "Item 5"


def test_an_item_of_the_catalog_takes_new_texts_and_keeps_its_codes(client: TestClient) -> None:
    before = client.get("/items/base-2").json()
    put = client.put("/items/base-2", json={"title": "renamed"}).json()
    after = client.get("/items/base-2").json()
    assert put["semantic_ids"] == before["semantic_ids"] == after["semantic_ids"]
    assert (after["title"], after["metadata"]) == ("renamed", {})
    assert after["popularity"] == before["popularity"]


def test_a_deleted_item_is_gone_but_still_counts_in_histories(client: TestClient) -> None:
    client.put("/items/new", json=body_of(1)).raise_for_status()
    for item in ("new", "base-3"):
        with_it = recommended(client, [item], exclude_seen=False)
        assert client.delete(f"/items/{item}").json()["changed"]
        assert not client.delete(f"/items/{item}").json()["changed"]
        assert client.get(f"/items/{item}").status_code == 404
        without = recommended(client, [item], exclude_seen=False)
        assert set(without) == set(with_it) - {item}
        assert client.post("/recommend", json={"history": [item]}).json()["unknown_items"] == 0
    assert client.get("/catalog").json()["deleted"] == 2
    client.put("/items/base-3", json=body_of(1)).raise_for_status()
    assert "base-3" in recommended(client, ["base-1"])


def test_an_unavailable_item_is_not_recommended_until_it_is_back(client: TestClient) -> None:
    client.put("/items/new", json=body_of(1)).raise_for_status()
    for item in ("new", "base-3"):
        assert client.put(f"/items/{item}/availability", json={"available": False}).json()["changed"]
        assert not client.get(f"/items/{item}").json()["available"]
        assert item not in recommended(client, ["base-1"])
        assert item not in [each["id"] for each in client.get("/items/base-4/similar?k=200").json()["items"]]
        assert client.put(f"/items/{item}/availability", json={"available": True}).json()["visible"]
        assert item in recommended(client, ["base-1"])


@pytest.mark.parametrize("name", ["a/b", "a/similar", "x/availability", "ä €?#%", "batch/1", " "])
def test_ids_may_be_any_text(client: TestClient, name: str) -> None:
    path = f"/items/{quote(name, safe='')}"
    assert client.put(path, json=body_of(1)).json()["id"] == name
    assert client.get(path).json()["id"] == name
    assert client.get(f"{path}/similar?k=3").status_code == 200
    assert client.put(f"{path}/availability", json={"available": False}).json()["id"] == name
    assert client.delete(path).json()["id"] == name
    assert client.get(path).status_code == 404


def test_a_slash_need_not_be_encoded(client: TestClient) -> None:
    assert client.put("/items/a/b/c", json=body_of(1)).json()["id"] == "a/b/c"
    assert client.get("/items/a/b/c/similar").status_code == 200


def test_of_a_batch_a_bad_row_fails_alone(client: TestClient) -> None:
    rows = [
        {"id": "one", **body_of(1)},
        {"id": "two", "image": "bm8gcGljdHVyZQ=="},
        {"title": "nameless"},
        {"id": "four", "color": "red"},
        {"id": "five", "embeddings": {"text": [1.0]}},
        {"id": "six", **body_of(6)},
        {"id": "one", **body_of(1)},
    ]
    answer = client.post("/items/batch", json={"items": rows}).json()
    assert [row["status"] for row in answer["items"]] == [200, 422, 422, 422, 422, 200, 200]
    assert [row["id"] for row in answer["items"]] == ["one", "two", None, "four", "five", "six", "one"]
    assert (answer["stored"], answer["failed"], answer["visible"]) == (3, 4, True)
    assert [row["changed"] for row in answer["items"] if row["status"] == 200] == [True, True, False]
    for row, part in ((1, "does not decode"), (2, "id"), (3, "color"), (4, f"takes {TEXT_DIM}")):
        assert part in answer["items"][row]["detail"]
    assert {"one", "six"} <= set(recommended(client, ["base-1"]))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"title": "unheard"}, "nothing of it can be embedded"),
        ({"text": "word1", "image": "no base64!"}, "image"),
        ({"text": "word1", "image": "bm8gcGljdHVyZQ=="}, "does not decode"),
        ({"embeddings": {"text": [1.0, 2.0]}}, f"2 numbers, this model takes {TEXT_DIM}"),
        ({"embeddings": {"sound": [1.0]}}, "sound"),
        ({"price": "NaN"}, "price"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_used_is_a_422_that_says_so(client: TestClient, body: dict[str, Any], message: str) -> None:
    response = client.put("/items/new", json=body)
    assert response.status_code == 422
    assert message in response.text
    assert client.get("/items/new").status_code == 404


def test_an_image_or_an_embedding_alone_will_do(client: TestClient) -> None:
    image = base64.b64encode(picture(5)).decode()
    assert client.put("/items/seen", json={"image": image}).status_code == 200
    assert client.put("/items/given", json={"embeddings": {"text": [0.5] * TEXT_DIM}}).status_code == 200
    assert {"seen", "given"} <= set(recommended(client, ["base-1"]))


def test_without_encoders_known_items_change_and_new_ones_are_refused(start: Start) -> None:
    client = start()
    refused = client.put("/items/new", json={"title": "new"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:macrec:problem:no-encoder")
    assert client.put(f"/items/{item_id(4)}", json={"title": "renamed"}).status_code == 200
    assert client.get(f"/items/{item_id(4)}").json()["title"] == "renamed"
    similar = client.get(f"/items/{item_id(0)}/similar?k=1").json()["items"]
    assert similar[0]["distance"] is None


def test_new_items_get_the_served_models_codes_though_its_bundle_was_replaced(
    start: Start, live_bundle: Path, retrained_bundle: Path, tmp_path: Path
) -> None:
    """A training writes its bundle where the served one was: its codes mean nothing to the model that is served."""
    bundle = tmp_path / "bundle"
    shutil.copytree(live_bundle, bundle)
    client = start(bundle=bundle)
    follower = service_of(client).follower
    until(lambda: follower.encoder_loaded)
    shutil.rmtree(bundle)
    shutil.copytree(retrained_bundle, bundle)
    put = client.put("/items/new", json=body_of(1))
    assert put.status_code == 200
    served = Bundle.load(live_bundle)
    encoder = ItemEncoder.load(served)
    assert encoder is not None
    latents, base = encoder.encode([inputs_of(1)]).latents, served.catalog().codes
    for part, name in enumerate(("text", "image")):
        expected = assign(latents[part], encoder.codebooks[part], base[part]).codes[0].tolist()
        assert put.json()["semantic_ids"][name] == expected


def test_writing_needs_the_key(start: Start, live_bundle: Path) -> None:
    client = start(bundle=live_bundle, api_key="secret")
    calls: list[tuple[str, str, Any]] = [
        ("PUT", "/items/new", body_of(1)),
        ("POST", "/items/batch", {"items": [{"id": "new", **body_of(1)}]}),
        ("PUT", "/items/new/availability", {"available": False}),
        ("DELETE", "/items/new", None),
    ]
    for method, path, body in calls:
        assert client.request(method, path, json=body).status_code == 401
        assert client.request(method, path, json=body, headers=KEY).status_code == 200


def test_pages_hold_every_item_once_in_the_order_of_ids(client: TestClient) -> None:
    for name in ("a-first", "base-10a", "zebra"):
        client.put(f"/items/{name}", json=body_of(1)).raise_for_status()
    client.delete("/items/base-7").raise_for_status()
    expected = sorted({f"base-{n}" for n in range(20)} - {"base-7"} | {"a-first", "base-10a", "zebra"})
    for limit in (1, 5, 22, 100):
        ids: list[str] = []
        cursor: str | None = None
        while True:
            page = client.get("/items", params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
            ids += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert ids == expected
    assert client.get("/items", params={"cursor": "nowhere"}).json()["items"][0]["id"] == "zebra"


def test_a_large_picture_fits_where_items_are_told_of_and_nowhere_else(start: Start, live_bundle: Path) -> None:
    client = start(bundle=live_bundle, max_body=1000, max_item_body=100_000)
    assert client.put("/items/new", json={**body_of(1), "title": "x" * 5000}).status_code == 200
    assert client.post("/recommend", json={"history": ["x" * 500] * 5}).status_code == 413
    assert client.put("/items/new", json={**body_of(1), "title": "x" * 99_999}).status_code == 413


def test_what_the_log_lost_is_forgotten_even_if_it_went_on_before_anybody_looked(
    start: Start, live_bundle: Path, tmp_path: Path
) -> None:
    """All replicas and all that start later agree on what there is, though it is less than was acknowledged."""
    with start_valkey(tmp_path) as valkey, Redis.from_url(valkey.url) as redis:
        client = start(bundle=live_bundle, redis_url=valkey.url)
        for number in range(3):
            client.put(f"/items/lost-{number}", json=body_of(number)).raise_for_status()
        redis.flushall()
        put = client.put("/items/after", json=body_of(7)).raise_for_status().json()
        until(lambda: client.get("/items/lost-0").status_code == 404)
        until(lambda: client.get("/items/after").status_code == 200)
        assert put["sequence"] <= 4
        assert client.get("/catalog").json()["sequence"] == put["sequence"]
