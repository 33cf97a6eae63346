"""Bundles from the registry: starting without one on the disk, swapping model and catalog together, and the rules."""

from contextlib import closing
from pathlib import Path

import pytest

from model.bundle import Bundle
from model.catalog import Catalog
from model.registry import open_registry
from tests.bundles import build_catalog, write_retrained_bundle
from tests.publishing import POLL, publish, publish_bundle, version_of, versions_of
from tests.servers import start_valkey
from tests.serving import Clients, MakeSettings, Start, metric, running, service_of, until


@pytest.fixture(scope="module")
def retrained(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of another ID space; nobody may change it."""
    return write_retrained_bundle(bundle, tmp_path_factory.mktemp("retrained") / "bundle")


def versions_in(bundle: Path) -> tuple[str, str]:
    """The model and the catalog of a bundle, as answers name them."""
    return Bundle.load(bundle).manifest.model_hash, Catalog.load(bundle / "catalog").version


def test_a_service_starts_from_redis_alone(start: Start, bundle: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        release = publish_bundle(valkey.url, bundle)
        client = start(bundle=None, redis_url=valkey.url)
        info = client.get("/info").json()
        assert (info["bundle_version"], info["catalog_version"]) == (release.bundle, release.catalog)
        assert info["catalog_source"] == "registry"
        assert info["metrics"] == {"hr@10": 0.25}
        assert versions_of(client) == versions_in(bundle)


def test_a_service_starts_from_a_registry_in_a_folder(start: Start, bundle: Path, tmp_path: Path) -> None:
    publish_bundle(tmp_path / "registry", bundle)
    client = start(bundle=None, registry=tmp_path / "registry", catalog_poll=POLL)
    assert versions_of(client) == versions_in(bundle)
    version = publish(tmp_path / "registry", build_catalog(seed=3), tmp_path / "published")
    until(lambda: version_of(client) == version)


def test_a_service_without_anything_to_serve_says_why_and_starts_once_there_is(
    start: Start, bundle: Path, tmp_path: Path
) -> None:
    with start_valkey(tmp_path) as valkey:
        client = start(wait=False, bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        until(lambda: "nothing was published" in client.get("/readyz").text)
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        valkey.kill()
        until(lambda: "does not answer" in client.get("/readyz").text)
        valkey.start()
        publish(valkey.url, build_catalog(), tmp_path / "published")
        until(lambda: "the release has no bundle" in client.get("/readyz").text)
        publish_bundle(valkey.url, bundle)
        until(lambda: client.get("/readyz").status_code == 200)
        until(lambda: client.get("/info").json()["degraded"] == [])


def test_with_neither_bundle_nor_registry_the_service_ends(start: Start) -> None:
    client = start(wait=False, bundle=None)
    until(lambda: service_of(client).failure is not None)
    assert "set MACREC_BUNDLE" in client.get("/readyz").json()["detail"]


def test_a_new_bundle_and_its_catalog_are_swapped_together_and_back_under_load(
    settings: MakeSettings, bundle: Path, retrained: Path, tmp_path: Path
) -> None:
    with start_valkey(tmp_path) as valkey:
        publish_bundle(valkey.url, bundle)
        configured = settings(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        with running(configured) as (server, url), closing(open_registry(valkey.url)) as registry:
            clients, seen = Clients(url), set()

            def ask_until(version: str) -> None:
                def there() -> bool:
                    for answer in [clients.ask_soon() for _ in range(8)]:
                        body = answer.result().raise_for_status().json()
                        seen.add((body["model_version"], body["catalog_version"]))
                    return server.service.snapshot().version == version

                until(there)

            for _ in range(2):
                ask_until(registry.publish(retrained).catalog)
                ask_until(registry.rollback().catalog)
        assert seen == {versions_in(bundle), versions_in(retrained)}


def test_a_set_bundle_keeps_its_model_and_follows_catalogs_of_its_space_only(
    start: Start, bundle: Path, retrained: Path, tmp_path: Path
) -> None:
    with start_valkey(tmp_path) as valkey:
        client = start(redis_url=valkey.url, catalog_poll=POLL)
        model, catalog = versions_in(bundle)
        publish_bundle(valkey.url, retrained)
        until(lambda: metric(client, 'macrec_catalog_swaps_total{result="failed"}') == 1)
        until(lambda: client.get("/info").json()["degraded"] == ["catalog"])
        assert versions_of(client) == (model, catalog)
        assert not any((tmp_path / "cache").glob("catalog/*")), "what cannot be served is not even fetched"

        publish_bundle(valkey.url, bundle)
        until(lambda: client.get("/info").json()["degraded"] == [])
        version = publish(valkey.url, build_catalog(seed=3), tmp_path / "published")
        until(lambda: versions_of(client) == (model, version))


def test_a_restart_without_redis_serves_what_was_served_last(
    start: Start, bundle: Path, retrained: Path, tmp_path: Path
) -> None:
    with start_valkey(tmp_path) as valkey:
        publish_bundle(valkey.url, bundle)
        first = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        publish_bundle(valkey.url, retrained)
        until(lambda: versions_of(first) == versions_in(retrained))
        until((tmp_path / "cache" / "released.json").exists)
        valkey.kill()
        second = start(bundle=None, redis_url=valkey.url, catalog_poll=POLL)
        assert versions_of(second) == versions_in(retrained)
        assert second.get("/info").json()["degraded"] == ["catalog", "live"]
        valkey.start()
        until(lambda: second.get("/info").json()["degraded"] == [])


def test_services_on_one_machine_share_what_they_fetched(start: Start, bundle: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as valkey:
        release = publish_bundle(valkey.url, bundle)
        folders = {
            Path(start(bundle=None, redis_url=valkey.url).get("/info").json()["bundle_version"]) for _ in range(2)
        }
        assert {str(folder) for folder in folders} == {release.bundle}
        fetched = [path for path in (tmp_path / "cache").glob("*/*") if path.is_dir()]
        assert len(fetched) == 2, "one bundle and one catalog"
        assert not (tmp_path / "cache" / "bundle" / str(release.bundle) / "catalog").exists()
