"""The live catalog follows the registry, and nothing that fails a check is ever served."""

import gc
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service import loader
from service.app import create_app
from tests.bundles import build_catalog, item_id, write_retrained_bundle
from tests.publishing import POLL, publish, publish_bundle, version_of
from tests.servers import start_valkey
from tests.serving import (
    BlockedRecommender,
    Clients,
    MakeSettings,
    Start,
    metric,
    running,
    service_of,
    snapshot_of,
    until,
)


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


def test_a_request_that_began_before_a_swap_ends_on_the_version_it_began_with(
    settings: MakeSettings, tmp_path: Path
) -> None:
    with start_valkey(tmp_path) as valkey, running(settings(redis_url=valkey.url, catalog_poll=POLL)) as (server, url):
        blocked = BlockedRecommender(server.service.recommender)
        server.service.recommender = blocked
        clients = Clients(url)
        before = server.service.snapshot().version
        in_flight = clients.ask_soon()
        until(lambda: len(blocked.begun) == 1)
        version = publish(valkey.url, build_catalog(items=40, seed=1), tmp_path / "published")
        until(lambda: server.service.snapshot().version == version)
        blocked.allowed.set()
        assert in_flight.result().json()["catalog_version"] == before
        assert clients.ask().json()["catalog_version"] == version


def count_alive(parts: list[weakref.ref[Any]]) -> int:
    """How many are still there; the look at the live log that goes on during a swap lets go a moment after it."""
    gc.collect()
    return sum(part() is not None for part in parts)


def test_what_is_no_longer_served_is_freed(start: Start, tmp_path: Path, bundle: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        publish_bundle(valkey.url, bundle)
        client = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        before = snapshot_of(client)
        parts = [weakref.ref(part) for part in (before, before.catalog.base, before.engine, before.bundle)]
        del before
        retrained = write_retrained_bundle(bundle, tmp_path / "retrained")
        version = publish_bundle(valkey.url, retrained).catalog
        until(lambda: version_of(client) == version)
        until(lambda: count_alive(parts) == 0)


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
        until(lambda: client.get("/info").json()["degraded"] == [])


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
        assert answer["degraded"] == ["catalog", "live"]
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
    """Not at once, as what does not fit on a disk would be fetched again and again."""
    cache = tmp_path / "cache"
    cache.write_text("a file where the folder should be")
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url, catalog_poll=POLL, catalog_cache=cache)
        version = publish(valkey.url, build_catalog(items=40, seed=1), tmp_path / "published")
        until(lambda: client.get("/info").json()["degraded"] == ["catalog"])
        assert client.get("/info").json()["catalog_source"] == "bundle"
        time.sleep(5 * POLL)
        assert metric(client, 'macrec_catalog_swaps_total{result="failed"}') == 1
        cache.unlink()
        refused, at = service_of(client)._loader._refused
        service_of(client)._loader._refused = (refused, at - loader.REFUSED_FOR)
        until(lambda: version_of(client) == version)


def test_weights_that_leave_nothing_to_search_end_the_service(settings: MakeSettings) -> None:
    app = create_app(settings(weights={"text": 0, "image": 0}), on_failure=(ended := threading.Event()).set)
    with TestClient(app) as client:
        assert ended.wait(20)
        assert "MACREC_WEIGHTS" in client.post("/recommend", json={"history": []}).json()["detail"]


def test_the_gauges_show_what_a_swap_serves_with_what_came_later(bundle: Path, start: Start, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        publish_bundle(valkey.url, bundle)
        client = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        client.delete(f"/items/{item_id(3)}").raise_for_status()
        until(lambda: metric(client, "macrec_catalog_items") == 59)
        version = publish(valkey.url, build_catalog(items=50, seed=3), tmp_path / "published")
        until(lambda: version_of(client).startswith(version))
        until(lambda: metric(client, "macrec_catalog_items") == 49)
        assert metric(client, "macrec_live_sequence") == 1
