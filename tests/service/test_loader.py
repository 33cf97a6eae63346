"""The live catalog follows the registry, and nothing that fails a check is ever served."""

from pathlib import Path

from fastapi.testclient import TestClient

from model.catalog import Catalog
from model.registry import open_registry
from service import loader
from tests.bundles import build_catalog, item_id
from tests.servers import start_valkey
from tests.serving import Start, metric, service_of, snapshot_of, until

POLL = 0.05


def publish(url: str, catalog: Catalog, folder: Path) -> str:
    """Publishes a catalog, as training does."""
    folder.mkdir()
    catalog.save(folder)
    registry = open_registry(url)
    version = registry.publish(folder)
    registry.close()
    return version


def version_of(client: TestClient) -> str:
    response = client.post("/recommend", json={"history": [item_id(1)]})
    response.raise_for_status()
    version: str = response.json()["catalog_version"]
    return version


def test_a_service_starts_with_the_published_catalog(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        version = publish(valkey.url, build_catalog(items=40, seed=1), tmp_path / "published")
        client = start(redis_url=valkey.url)
        info = client.get("/info").json()
        assert (info["catalog_version"], info["catalog_source"], info["catalog_items"]) == (version, "registry", 40)
        assert info["degraded"] == []


def test_without_a_published_catalog_the_bundles_is_served(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url)
        assert client.get("/info").json()["catalog_source"] == "bundle"
        assert client.get("/info").json()["degraded"] == []


def test_a_new_version_replaces_the_live_one_and_requests_in_flight_keep_theirs(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url, catalog_poll=POLL)
        before = snapshot_of(client)
        version = publish(valkey.url, build_catalog(items=40, seed=1), tmp_path / "published")
        until(lambda: version_of(client) == version)
        assert len(before.catalog) == 60
        assert metric(client, 'macrec_catalog_swaps_total{result="swapped"}') == 1
        assert metric(client, "macrec_catalog_items") == 40


def test_the_bundles_own_catalog_published_changes_nothing(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url, catalog_poll=POLL)
        before = snapshot_of(client)
        assert publish(valkey.url, build_catalog(), tmp_path / "published") == before.version
        second = publish(valkey.url, build_catalog(seed=1), tmp_path / "second")
        until(lambda: version_of(client) == second)
        assert metric(client, 'macrec_catalog_swaps_total{result="swapped"}') == 1


def test_a_catalog_of_another_id_space_is_refused_once_and_said(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url, catalog_poll=POLL)
        before = version_of(client)
        publish(valkey.url, build_catalog(seed=1, name="another space"), tmp_path / "published")
        failed = 'macrec_catalog_swaps_total{result="failed"}'
        until(lambda: metric(client, failed) == 1)
        until(lambda: metric(client, 'macrec_degraded{reason="catalog"}') == 1)
        assert version_of(client) == before
        assert metric(client, failed) == 1, "the same version is not tried again at every look"
        good = publish(valkey.url, build_catalog(seed=2), tmp_path / "good")
        until(lambda: version_of(client) == good)
        assert client.get("/info").json()["degraded"] == []


def test_a_refused_version_is_tried_again_after_a_while(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        publish(valkey.url, build_catalog(seed=1, name="another space"), tmp_path / "published")
        client = start(redis_url=valkey.url, catalog_poll=POLL)
        failed = 'macrec_catalog_swaps_total{result="failed"}'
        assert metric(client, failed) == 1
        refused, at = service_of(client)._loader._refused
        service_of(client)._loader._refused = (refused, at - loader.REFUSED_FOR)
        until(lambda: metric(client, failed) == 2)


def test_with_redis_away_the_bundle_is_served_marked_until_redis_comes(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        version = publish(valkey.url, build_catalog(items=40, seed=1), tmp_path / "published")
        valkey.kill()
        client = start(redis_url=valkey.url, catalog_poll=POLL)
        answer = client.post("/recommend", json={"history": [item_id(1)]}).json()
        assert answer["degraded"] == ["catalog"]
        assert metric(client, 'macrec_degraded{reason="catalog"}') == 1
        valkey.start()
        until(lambda: version_of(client) == version)
        until(lambda: client.get("/info").json()["degraded"] == [])


def test_with_redis_gone_reads_go_on_marked_and_writes_are_503(start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        version = publish(valkey.url, build_catalog(items=40, seed=1), tmp_path / "published")
        client = start(redis_url=valkey.url, catalog_poll=POLL)
        event = {"user_id": "ann", "item_id": item_id(3), "timestamp": 1}
        client.post("/events", json=event).raise_for_status()
        known = client.get("/recommend/ann").json()
        assert known["items"][0]["source"] == "generated"
        valkey.kill()
        answer = client.get("/recommend/ann").json()
        assert "histories" in answer["degraded"]
        assert answer["catalog_version"] == version
        assert answer["items"][0]["source"] == "popular"
        assert metric(client, 'macrec_degraded{reason="histories"}') == 1
        write = client.post("/events", json=event)
        assert (write.status_code, write.headers["Retry-After"]) == (503, "1")
        assert write.json()["type"] == "urn:macrec:problem:store-unavailable"
        valkey.start()
        until(lambda: client.get("/recommend/ann").json()["degraded"] == [], 10)
        assert client.get("/recommend/ann").json()["items"] == known["items"]


def test_a_cache_that_cannot_be_written_is_said_and_tried_again(start: Start, tmp_path: Path) -> None:
    """An error that nobody foresaw may not end the looking, or the catalog would be frozen unseen."""
    cache = tmp_path / "cache"
    cache.write_text("a file where the folder should be")
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url, catalog_poll=POLL, catalog_cache=cache)
        version = publish(valkey.url, build_catalog(items=40, seed=1), tmp_path / "published")
        until(lambda: client.get("/info").json()["degraded"] == ["catalog"])
        assert client.get("/info").json()["catalog_source"] == "bundle"
        cache.unlink()
        until(lambda: version_of(client) == version)
