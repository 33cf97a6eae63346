"""Histories and rules may name an item that came and went, also where a server hears of both at once."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from tests.live_bundles import write_live_bundle
from tests.replicas import body_of
from tests.serving import MakeSettings, Start, wait_until_ready


@pytest.fixture(scope="module")
def live_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_live_bundle(tmp_path_factory.mktemp("live") / "bundle")


@pytest.fixture
def restarted(live_bundle: Path, start: Start, settings: MakeSettings, tmp_path: Path) -> TestClient:
    """A service that starts after an item was put and deleted."""
    served = {"bundle": live_bundle, "state": tmp_path / "state"}
    with TestClient(create_app(settings(**served))) as first:
        wait_until_ready(first)
        first.put("/items/new", json=body_of(5)).raise_for_status()
        first.delete("/items/new").raise_for_status()
    return start(**served)


def test_an_item_that_is_gone_can_be_named(restarted: TestClient) -> None:
    bodies: list[dict[str, Any]] = [
        {"history": ["new"]},
        {"history": ["base-1"], "exclude": ["new"]},
        {"history": ["base-1"], "allow": ["new", "base-2"]},
        {"history": ["new", "base-1", "base-3"], "explain": True},
        {"history": [], "exclude": ["new"], "max_per_prefix": {"text": {"depth": 1, "items": 1}}},
    ]
    for body in bodies:
        answer = restarted.post("/recommend", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["items"]
        assert "new" not in {item["id"] for item in answer.json()["items"]}
    assert restarted.get("/items/new").status_code == 404
    assert restarted.put("/items/new", json=body_of(5)).status_code == 200
