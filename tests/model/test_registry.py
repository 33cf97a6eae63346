"""Publishing, fetching and rolling back, the same for both stores, and what a crash or a damage may not do."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from model.catalog import Catalog
from model.catalog_version import CatalogVersion
from model.errors import BundleError, ConfigError, RegistryError
from model.folder_store import FolderStore
from model.redis_store import CHANNEL, RELEASES, RedisStore
from model.registry import Registry, open_registry
from model.semantic_ids import IdSpace
from tests.cutting_proxy import cutting_proxy
from tests.servers import Valkey, start_valkey

CHUNK_BYTES = 64
"""So small that most files of the tiny catalogs have several chunks."""

PUBLISH = """
import sys
from pathlib import Path
from model.redis_store import RedisStore
from model.registry import Registry
Registry(RedisStore(sys.argv[1], 5.0), chunk_bytes=4096).publish(Path(sys.argv[2]))
"""


def save_catalog(folder: Path, seed: int) -> Path:
    """Writes a catalog of 20 items whose codes depend on ``seed``."""
    codes = np.random.default_rng(seed).integers(0, 8, (2, 20, 3), dtype=np.uint8)
    items = [(f"item-{number}", {"title": f"Item {number}"}) for number in range(20)]
    space = IdSpace(("text", "image"), levels=3, codes=8)
    folder.mkdir(parents=True)
    Catalog.build(space, codes, items, np.arange(20), space_hash="0" * 16).save(folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A catalog."""
    return save_catalog(tmp_path / "old", seed=1)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Another catalog."""
    return save_catalog(tmp_path / "new", seed=2)


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for the tests that leave it alive."""
    with start_valkey(tmp_path_factory.mktemp("valkey"), "--enable-debug-command", "no") as server:
        yield server


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """An empty server."""
    with Redis.from_url(shared_valkey.url) as client:
        client.flushall()
    return shared_valkey


@pytest.fixture(params=["redis", "folder"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """An empty registry of either kind."""
    if request.param == "redis":
        store: RedisStore | FolderStore = RedisStore(request.getfixturevalue("valkey").url, timeout=5.0)
    else:
        store = FolderStore(tmp_path / "registry")
    with closing(Registry(store, CHUNK_BYTES)) as opened:
        yield opened


def test_an_empty_registry_has_no_current_version(registry: Registry) -> None:
    assert registry.current() is None
    assert registry.versions() == []
    with pytest.raises(RegistryError, match="no earlier catalog version"):
        registry.rollback()


def test_a_published_catalog_is_fetched_byte_for_byte(registry: Registry, old: Path, tmp_path: Path) -> None:
    version = registry.publish(old)

    assert version == registry.current() == Catalog.load(old).version
    assert content(registry.fetch(version, tmp_path / "cache")) == content(old)
    [described] = registry.versions()
    assert (described.version, described.items, described.space_hash) == (version, 20, "0" * 16)
    assert described.size == sum(map(len, content(old).values()))


def test_publishing_the_same_content_again_changes_nothing(registry: Registry, old: Path, new: Path) -> None:
    first = registry.publish(old)
    second = registry.publish(new)
    assert registry.publish(new) == second
    assert len(registry.versions()) == 2
    assert registry.rollback() == first


def test_rollback_goes_back_release_by_release_and_skips_what_was_withdrawn(
    registry: Registry, old: Path, new: Path, tmp_path: Path
) -> None:
    first, bad = registry.publish(old), registry.publish(new)
    assert registry.rollback() == first == registry.current()

    third = registry.publish(save_catalog(tmp_path / "third", seed=3))
    assert registry.current() == third
    assert registry.rollback() == first
    assert bad in {version.version for version in registry.versions()}


def test_a_second_fetch_reads_nothing(registry: Registry, old: Path, tmp_path: Path) -> None:
    version = registry.publish(old)
    folder = registry.fetch(version, tmp_path / "cache")
    unreachable = Registry(RedisStore("redis://127.0.0.1:1", timeout=0.1))
    assert unreachable.fetch(version, tmp_path / "cache") == folder


def test_processes_that_share_a_cache_download_once(registry: Registry, old: Path, tmp_path: Path) -> None:
    version = registry.publish(old)
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(registry.fetch(version, tmp_path / "cache"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [tmp_path / "cache" / version] * 4
    assert content(folders[0]) == content(old)


def test_a_fetch_that_was_killed_leaves_nothing_in_the_way(registry: Registry, old: Path, tmp_path: Path) -> None:
    version = registry.publish(old)
    partial = tmp_path / "cache" / f".{version}.partial"
    partial.mkdir(parents=True)
    (partial / "codes.npy").write_bytes(b"half of it")
    assert content(registry.fetch(version, tmp_path / "cache")) == content(old)
    assert not partial.exists()


def test_an_unknown_version_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="0123456789abcdef is not in the registry"):
        registry.fetch("0123456789abcdef", tmp_path / "cache")
    with pytest.raises(BundleError, match="no catalog version"):
        registry.fetch("../../etc", tmp_path / "cache")


def test_a_folder_without_a_catalog_is_not_published(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"catalog\.json"):
        registry.publish(tmp_path)
    assert registry.versions() == []


def test_a_cache_that_cannot_be_written_is_named(registry: Registry, old: Path, tmp_path: Path) -> None:
    version = registry.publish(old)
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(RegistryError, match="cache"):
        registry.fetch(version, tmp_path / "cache")


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../outside", ""])
def test_a_manifest_may_not_lead_out_of_its_folder(name: str, old: Path) -> None:
    manifest = CatalogVersion.of_folder(old).model_dump_json().replace('"codes.npy"', f'"{name}"')
    with pytest.raises(BundleError, match="no path inside a catalog folder"):
        CatalogVersion.parse(Catalog.load(old).version, manifest.encode())


def test_a_manifest_under_another_versions_name_is_refused(old: Path) -> None:
    manifest = CatalogVersion.of_folder(old).model_dump_json().encode()
    with pytest.raises(BundleError, match="describes version"):
        CatalogVersion.parse("0" * 16, manifest)


def test_a_damaged_or_missing_file_in_a_folder_is_refused(old: Path, tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry")
    version = registry.publish(old)
    stored = tmp_path / "registry" / "catalogs" / version / "codes.npy"
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"chunk 0 of codes\.npy has SHA-256"):
        registry.fetch(version, tmp_path / "cache")
    stored.unlink()
    with pytest.raises(BundleError, match=r"codes\.npy is missing"):
        registry.fetch(version, tmp_path / "cache")
    assert not (tmp_path / "cache" / version).exists()


@pytest.mark.parametrize("damage", ["corrupt", "truncate", "delete"])
def test_a_damaged_chunk_in_redis_is_refused_and_mended_by_publishing(
    damage: str, valkey: Valkey, old: Path, tmp_path: Path
) -> None:
    registry = Registry(RedisStore(valkey.url, timeout=5.0), CHUNK_BYTES)
    version = registry.publish(old)
    with Redis.from_url(valkey.url) as client:
        key = sorted(client.scan_iter(f"macrec:catalog:chunk:{version}:*"))[0]
        chunk = client.get(key)
        assert isinstance(chunk, bytes)
        match damage:
            case "corrupt":
                client.set(key, bytes([chunk[0] ^ 1]) + chunk[1:])
            case "truncate":
                client.set(key, chunk[:-1])
            case _:
                client.delete(key)

    with pytest.raises(BundleError, match="publish the catalog again"):
        registry.fetch(version, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == [tmp_path / "cache" / ".lock"]

    registry.publish(old)
    assert content(registry.fetch(version, tmp_path / "cache")) == content(old)


def test_a_release_is_announced(valkey: Valkey, old: Path) -> None:
    with Redis.from_url(valkey.url) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(CHANNEL)
        channel.get_message(timeout=5)
        version = open_registry(valkey.url).publish(old)
        message = channel.get_message(timeout=5)
    assert message is not None
    assert message["data"] == version.encode()


def test_the_list_of_releases_does_not_grow_without_end(valkey: Valkey, old: Path, new: Path) -> None:
    registry = open_registry(valkey.url)
    first, second = registry.publish(old), registry.publish(new)
    store = RedisStore(valkey.url, timeout=5.0)
    for _ in range(60):
        store.release(first)
        store.release(second)
    with Redis.from_url(valkey.url) as client:
        assert client.llen(RELEASES) == 100
    assert registry.current() == second


def test_every_connection_lost_while_publishing_leaves_the_old_version(
    valkey: Valkey, old: Path, new: Path, tmp_path: Path
) -> None:
    """The connection is cut before the 1st, 2nd, ... last command: until the very last one nothing has changed."""
    direct = Registry(RedisStore(valkey.url, timeout=5.0), chunk_bytes=4096)
    before = direct.publish(old)
    direct.fetch(before, tmp_path / "cache")
    commands = _commands_of_a_publication(valkey, old)
    assert commands[-2:] == [b"HSET", b"EVAL"]

    for allowed in range(len(commands)):
        with cutting_proxy(valkey.port, allowed) as proxy:
            publisher = Registry(RedisStore(proxy.url, timeout=5.0), chunk_bytes=4096)
            with closing(publisher), pytest.raises(RegistryError, match="does not answer"):
                publisher.publish(new)
        assert direct.current() == before, f"after {commands[:allowed]}"
        assert content(direct.fetch(before, tmp_path / str(allowed))) == content(old)

    after = direct.publish(new)
    assert content(direct.fetch(after, tmp_path / "cache")) == content(new)


def test_a_publisher_killed_at_any_command_leaves_the_old_version(
    valkey: Valkey, old: Path, new: Path, tmp_path: Path
) -> None:
    """A real process dies by SIGKILL while it waits for the server: in the chunks, at the manifest, at the pointer."""
    direct = Registry(RedisStore(valkey.url, timeout=5.0), chunk_bytes=4096)
    before = direct.publish(old)
    last = len(_commands_of_a_publication(valkey, old)) - 1

    for allowed in (0, last // 2, last - 1, last):
        with cutting_proxy(valkey.port, allowed, hang_up=False) as proxy:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            with subprocess.Popen([sys.executable, "-c", PUBLISH, proxy.url, str(new)], env=environment) as publisher:
                assert proxy.cut.wait(timeout=30)
                publisher.kill()
                assert publisher.wait(timeout=10) == -signal.SIGKILL
        assert direct.current() == before
        assert content(direct.fetch(before, tmp_path / str(allowed))) == content(old)


def _commands_of_a_publication(valkey: Valkey, catalog: Path) -> list[bytes]:
    with cutting_proxy(valkey.port, allowed=1000) as proxy:
        with closing(Registry(RedisStore(proxy.url, timeout=5.0), chunk_bytes=4096)) as publisher:
            publisher.publish(catalog)
        return proxy.passed


def test_a_server_that_was_killed_has_kept_what_was_published(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server:
        registry = open_registry(server.url, timeout=2.0)
        version = registry.publish(old)
        server.kill()
        with pytest.raises(RegistryError, match="does not answer"):
            registry.current()
        server.start()
        assert registry.current() == version
        assert content(registry.fetch(version, tmp_path / "cache")) == content(old)


def test_a_silent_server_costs_no_more_than_the_timeout(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server:
        registry = open_registry(server.url, timeout=0.2)
        registry.publish(old)
        server.pause()
        with pytest.raises(RegistryError, match="Timeout"):
            registry.current()
        server.resume()


def test_a_wrong_password_is_named_but_not_shown(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path, "--requirepass", "right") as server:
        registry = open_registry(f"redis://:terribly-wrong@127.0.0.1:{server.port}/0")
        with pytest.raises(RegistryError, match="password") as refused:
            registry.publish(old)
        assert "terribly-wrong" not in str(refused.value)
        assert open_registry(f"redis://:right@127.0.0.1:{server.port}/0").publish(old)


def test_a_full_server_refuses_and_the_old_version_stays(old: Path, new: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server:
        registry = open_registry(server.url)
        version = registry.publish(old)
        with Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(RegistryError, match="memory"):
                registry.publish(new)
        assert registry.current() == version


def test_a_url_that_makes_no_sense_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no Redis URL"):
        open_registry("redis://127.0.0.1:no-port/0")
