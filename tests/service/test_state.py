"""Where a server without Redis keeps histories and live items: apart for two shops, and found again by the same one."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import item_id, write_retrained_bundle
from tests.serving import wait_until_ready

SEEN = item_id(5)


def serve(bundle: Path, cache: Path) -> TestClient:
    return TestClient(create_app(Settings(bundle=bundle, catalog_cache=cache, deadline=30.0)))


def recommended(client: TestClient) -> dict[str, Any]:
    wait_until_ready(client)
    answer: dict[str, Any] = client.post("/recommend", json={"user_id": "ann", "k": 200}).raise_for_status().json()
    return answer


def test_two_shops_do_not_mix_and_a_retrained_one_finds_its_users_and_changes_again(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("MACREC_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shoes, books = (Path(shutil.copytree(bundle, tmp_path / name / "bundle")) for name in ("shoes", "books"))
    with serve(shoes, tmp_path / "cache") as client, serve(books, tmp_path / "cache") as other:
        recommended(client)
        client.post("/events", json={"user_id": "ann", "item_id": SEEN}).raise_for_status()
        client.put(f"/items/{item_id(6)}/availability", json={"available": False}).raise_for_status()
        assert SEEN in {item["id"] for item in recommended(other)["items"]}
        assert other.get(f"/items/{item_id(6)}").json()["available"]
    shutil.rmtree(shoes)
    write_retrained_bundle(bundle, shoes)
    with serve(shoes, tmp_path / "cache") as client:
        found = {item["id"] for item in recommended(client)["items"]}
        assert not client.get(f"/items/{item_id(6)}").json()["available"]
    assert found.isdisjoint({SEEN, item_id(6)})
    assert found
