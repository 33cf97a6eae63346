"""What breaks in the registry does not break answers: the last good state is served, marked, and soon made up for."""

from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from model.errors import RegistryError
from model.redis_store import CHUNK, POINTER_SECONDS
from model.registry import open_registry
from model.release import VersionKey
from tests.bundles import build_catalog, item_id, write_retrained_bundle
from tests.faults import Fault, dead, late, locked_out, silent
from tests.killed_publisher import commands_of_a_publication, publish_and_kill
from tests.publishing import POLL, publish, publish_bundle, version_of, versions_of
from tests.servers import start_valkey
from tests.serving import Start, metric, until
from tests.slow_proxy import slow_proxy

FAILED = 'macrec_catalog_swaps_total{result="failed"}'
SWAPPED = 'macrec_catalog_swaps_total{result="swapped"}'
TOO_LATE = late(POINTER_SECONDS * 1.5)  # longer than anybody waits


def degraded(client: TestClient) -> list[str]:
    """What an answer says was missing."""
    response = client.post("/recommend", json={"history": [item_id(1)]})
    response.raise_for_status()
    missing: list[str] = response.json()["degraded"]
    return missing


@pytest.mark.parametrize("fault", [dead, silent, TOO_LATE, locked_out])
def test_without_the_registry_answers_go_on_marked_and_the_service_soon_catches_up(
    fault: Fault, start: Start, bundle: Path, tmp_path: Path
) -> None:
    with start_valkey(tmp_path) as valkey, slow_proxy(valkey.port) as proxy:
        before = publish_bundle(valkey.url, bundle).catalog
        client = start(bundle=None, redis_url=proxy.url, catalog_poll=POLL)
        with fault(valkey, proxy):
            until(lambda: degraded(client) == ["catalog", "live"])
            assert version_of(client) == before
            assert metric(client, 'macrec_degraded{reason="catalog"}') == 1
            assert client.get("/readyz").status_code == 200
        after = publish(valkey.url, build_catalog(seed=3), tmp_path / "published")
        until(lambda: version_of(client) == after, seconds=5)
        until(lambda: degraded(client) == [])
        assert metric(client, FAILED) == 0


def test_a_full_registry_takes_nothing_new_and_answers_go_on_unmarked(
    start: Start, bundle: Path, tmp_path: Path
) -> None:
    with start_valkey(tmp_path, "--maxmemory-policy", "noeviction") as valkey:
        before = publish_bundle(valkey.url, bundle).catalog
        client = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        with Redis.from_url(valkey.url) as admin:
            admin.config_set("maxmemory", "1")
            with pytest.raises(RegistryError, match="memory"):
                publish(valkey.url, build_catalog(seed=3), tmp_path / "published")
            assert (version_of(client), degraded(client)) == (before, [])
            admin.config_set("maxmemory", "0")
        after = publish(valkey.url, build_catalog(seed=4), tmp_path / "again")
        until(lambda: version_of(client) == after, seconds=5)


def test_a_corrupted_chunk_is_refused_and_said_and_the_old_version_stays(
    start: Start, bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with start_valkey(tmp_path) as valkey:
        before = publish_bundle(valkey.url, bundle).catalog
        client = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        build_catalog(seed=3).save(catalog_folder := _made(tmp_path / "published"))
        with closing(open_registry(valkey.url)) as registry, Redis.from_url(valkey.url) as admin:
            valid = registry.publish(bundle, catalog_folder)
            until(lambda: version_of(client) == valid.catalog)
            registry.rollback()
            until(lambda: version_of(client) == before)
            _forget_fetched(tmp_path / "cache", valid.catalog)
            [codes] = [
                file
                for file in registry.describe(VersionKey("catalog", valid.catalog)).files
                if file.name == "codes.npy"
            ]
            key = CHUNK + codes.chunks[0]
            chunk = admin.get(key)
            assert isinstance(chunk, bytes)
            admin.set(key, chunk[:-1] + bytes([chunk[-1] ^ 1]))
            admin.rpush("macrec:releases", valid.dump())

            until(lambda: metric(client, FAILED) == 1)
            until(lambda: degraded(client) == ["catalog"])
            assert version_of(client) == before
            assert any("chunk 0 of codes.npy has SHA-256" in str(vars(record)) for record in caplog.records)

            better = publish(valkey.url, build_catalog(seed=5), tmp_path / "better")
            until(lambda: version_of(client) == better)
            until(lambda: degraded(client) == [])


def test_a_publisher_killed_at_any_step_changes_nothing_that_is_served(
    start: Start, bundle: Path, tmp_path: Path
) -> None:
    retrained = write_retrained_bundle(bundle, tmp_path / "retrained")
    with start_valkey(tmp_path) as valkey:
        steps = len(commands_of_a_publication(valkey.port, bundle))
        client = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        before = versions_of(client)
        for allowed in (0, steps // 2, steps - 2, steps - 1):
            publish_and_kill(valkey.port, retrained, allowed)
            assert versions_of(client) == before
        assert (metric(client, SWAPPED), metric(client, FAILED)) == (1, 0)
        after = publish_bundle(valkey.url, retrained).catalog
        until(lambda: version_of(client) == after)
        assert versions_of(client)[0] != before[0]


def test_a_message_wakes_a_service_that_looks_rarely(start: Start, bundle: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        publish_bundle(valkey.url, bundle)
        client = start(bundle=None, redis_url=valkey.url, catalog_poll=600)
        with Redis.from_url(valkey.url) as admin:
            until(lambda: admin.pubsub_numsub("macrec:released")[0][1] == 1)
        version = publish(valkey.url, build_catalog(seed=3), tmp_path / "published")
        until(lambda: version_of(client) == version)


def test_a_lost_message_is_made_up_for_by_looking(start: Start, bundle: Path, tmp_path: Path) -> None:
    """The pointer moves and nobody says so, as on a link that is only half open."""
    with start_valkey(tmp_path) as valkey:
        first = publish_bundle(valkey.url, bundle)
        client = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        version = publish(valkey.url, build_catalog(seed=3), tmp_path / "published")
        until(lambda: version_of(client) == version)
        with Redis.from_url(valkey.url) as admin:
            admin.rpush("macrec:releases", first.dump())
        until(lambda: version_of(client) == first.catalog)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _forget_fetched(cache: Path, version: str) -> None:
    """Removes a version from the cache, so that it has to be fetched again."""
    (cache / "catalog" / version).rename(cache / f"moved-{version}")
