"""GET /items/{id}."""

from tests.bundles import ITEMS, item_id, random_codes
from tests.serving import Start


def test_an_item_shows_its_metadata_and_semantic_ids(start: Start) -> None:
    client = start()
    item = client.get(f"/items/{item_id(4)}").json()
    assert item["id"] == item_id(4)
    assert item["title"] == "Title 4"
    assert item["metadata"] == {"category": ["toys"], "price": 4.0}
    assert item["popularity"] == ITEMS - 4
    codes = random_codes()
    assert item["semantic_ids"] == {"text": codes[0, 4].tolist(), "image": codes[1, 4].tolist()}
    assert item["catalog_version"] == client.get("/info").json()["catalog_version"]


def test_an_unknown_item_is_a_404(start: Start) -> None:
    response = start().get("/items/unknown")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:macrec:problem:unknown-item"
