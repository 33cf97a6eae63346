"""Publishing, fetching, rolling back and collecting garbage, the same for both stores."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from redis import Redis

from model.errors import BundleError, ConfigError, OvertakenError, RegistryError
from model.folder_store import FolderStore
from model.redis_store import RELEASES, RedisStore
from model.registry import Registry, open_registry
from model.release import Release, VersionKey
from tests.servers import Valkey
from tests.tiny_bundles import bundle_of, catalog_of, save_bundle, save_catalog

CHUNK_BYTES = 256
"""So small that most files of the tiny catalogs have several chunks."""


def content(folder: Path, *, without: str = "") -> dict[str, bytes]:
    """Every file of a folder, but for those in the folder ``without``."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if not without or not name.startswith(f"{without}/")}


def download(registry: Registry, kind: str, version: str | None, into: Path) -> Path:
    """Fetches a version into a folder of its own."""
    assert version is not None
    into.mkdir(parents=True, exist_ok=True)
    registry.download(VersionKey.of(kind, version), into / version)
    return into / version


@pytest.fixture(params=["redis", "folder"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """An empty registry of either kind."""
    if request.param == "redis":
        store: RedisStore | FolderStore = RedisStore(request.getfixturevalue("valkey").url, timeout=5.0)
    else:
        store = FolderStore(tmp_path / "registry")
    with closing(Registry(store, CHUNK_BYTES)) as opened:
        yield opened


def test_an_empty_registry_has_no_release(registry: Registry) -> None:
    assert registry.current() is None
    assert registry.versions() == []
    assert registry.collect_garbage(keep=1) == ([], 0)
    with pytest.raises(RegistryError, match="no earlier release"):
        registry.rollback()


def test_a_published_bundle_and_its_catalog_are_fetched_byte_for_byte(
    registry: Registry, old: Path, tmp_path: Path
) -> None:
    release = registry.publish(old)

    assert release == registry.current() == Release(bundle=bundle_of(old), catalog=catalog_of(old))
    bundle = download(registry, "bundle", release.bundle, tmp_path / "bundles")
    catalog = download(registry, "catalog", release.catalog, tmp_path / "catalogs")
    assert content(bundle) == content(old, without="catalog")
    assert content(catalog) == content(old / "catalog")
    described = {version.kind: version for version in registry.versions()}
    assert (described["catalog"].items, described["bundle"].items) == (20, None)
    assert {version.space_hash for version in described.values()} == {"5" * 16}
    assert sum(version.size for version in described.values()) == sum(map(len, content(old).values()))


def test_a_catalog_alone_keeps_the_released_bundle(registry: Registry, old: Path, tmp_path: Path) -> None:
    first = registry.publish(old)
    second = registry.publish(catalog=save_catalog(tmp_path / "more", seed=3))
    assert second.bundle == first.bundle
    assert second.catalog == catalog_of(tmp_path / "more") != first.catalog


def test_a_catalog_may_be_published_where_no_bundle_is(registry: Registry, tmp_path: Path) -> None:
    release = registry.publish(catalog=save_catalog(tmp_path / "catalog", seed=3))
    assert release == Release(bundle=None, catalog=catalog_of(tmp_path / "catalog"))


def test_a_bundle_may_be_released_with_another_catalog_than_its_own(
    registry: Registry, old: Path, tmp_path: Path
) -> None:
    release = registry.publish(old, save_catalog(tmp_path / "more", seed=3))
    assert release == Release(bundle=bundle_of(old), catalog=catalog_of(tmp_path / "more"))
    assert {version.kind: version.version for version in registry.versions()} == release.model_dump()


def test_a_bundle_and_a_catalog_of_two_id_spaces_are_never_one_release(
    registry: Registry, old: Path, new: Path
) -> None:
    with pytest.raises(BundleError, match=f"is of ID space {'6' * 16}, .* of {'5' * 16}"):
        registry.publish(old, new / "catalog")
    assert registry.versions() == []
    first = registry.publish(old)
    with pytest.raises(BundleError, match="together with its own bundle"):
        registry.publish(catalog=new / "catalog")
    assert registry.current() == first


def test_publishing_the_same_content_again_changes_nothing(registry: Registry, old: Path, new: Path) -> None:
    first = registry.publish(old)
    second = registry.publish(new)
    assert registry.publish(new) == second
    assert len(registry.versions()) == 4
    assert registry.rollback() == first


def test_rollback_goes_back_release_by_release_and_skips_what_was_withdrawn(
    registry: Registry, old: Path, new: Path, tmp_path: Path
) -> None:
    first, bad = registry.publish(old), registry.publish(new)
    assert registry.rollback() == first == registry.current()

    third = registry.publish(catalog=save_catalog(tmp_path / "third", seed=3))
    assert third.bundle == first.bundle
    assert registry.rollback() == first
    assert bad.bundle in {version.version for version in registry.versions()}


def test_garbage_is_what_the_last_releases_do_not_need(
    registry: Registry, old: Path, new: Path, tmp_path: Path
) -> None:
    first = registry.publish(old)
    second = registry.publish(catalog=save_catalog(tmp_path / "more", seed=3))
    third = registry.publish(new)

    collected = registry.collect_garbage(keep=2, unfinished_seconds=0)
    assert collected.versions == [VersionKey("catalog", first.catalog)]
    assert collected.chunks > 0
    for release in (second, third):
        for key in release.keys:
            download(registry, key.kind, key.version, tmp_path / "kept" / key.kind)
    assert registry.rollback() == second
    with pytest.raises(RegistryError, match="no earlier release"):
        registry.rollback()
    assert registry.collect_garbage(keep=2, unfinished_seconds=0).versions, "what was withdrawn is needed no more"
    assert content(download(registry, "catalog", second.catalog, tmp_path / "again")) == content(tmp_path / "more")


def test_the_current_release_is_never_garbage(registry: Registry, old: Path, new: Path, tmp_path: Path) -> None:
    registry.publish(old)
    release = registry.publish(new)
    for _ in range(3):
        registry.collect_garbage(keep=0, unfinished_seconds=0)
    assert registry.current() == release
    assert content(download(registry, "bundle", release.bundle, tmp_path / "b")) == content(new, without="catalog")
    assert content(download(registry, "catalog", release.catalog, tmp_path / "c")) == content(new / "catalog")


def test_what_a_killed_publisher_left_is_garbage_once_it_is_old(registry: Registry, old: Path) -> None:
    registry.publish(old)
    registry._store.write_chunk("a" * 64, b"half a catalog")
    assert registry.collect_garbage(keep=1).chunks == 0, "its publisher may still be writing"
    assert registry.collect_garbage(keep=1, unfinished_seconds=0).chunks == 1
    assert registry._store.read_chunk("a" * 64) is None


def test_a_chunk_that_vanishes_while_it_is_published_is_not_released(
    registry: Registry, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage collection by somebody who was told that no publisher runs."""
    before = registry.publish(old)
    current = registry._store.current

    def collect_then_look() -> Release | None:
        registry._store.sweep(tuple, 0)
        return current()

    monkeypatch.setattr(registry._store, "current", collect_then_look)
    with pytest.raises(RegistryError, match=r"vanished .*while it was published; publish again"):
        registry.publish(new)
    assert current() == before
    assert {version.space_hash for version in registry.versions()} == {"5" * 16}


def test_a_publisher_that_was_overtaken_starts_from_the_new_release(
    registry: Registry, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two publish at once: the catalog of one is released with the bundle of the other, and neither is lost."""
    registry.publish(old)
    other = save_bundle(tmp_path / "other", seed=4)
    current = registry._store.current
    overtaken: list[Release | None] = []

    def look_and_be_overtaken() -> Release | None:
        found = current()
        if not overtaken:
            overtaken.append(found)
            registry.publish(other)
        return found

    monkeypatch.setattr(registry._store, "current", look_and_be_overtaken)
    release = registry.publish(catalog=save_catalog(tmp_path / "more", seed=3))
    assert release == Release(bundle=bundle_of(other), catalog=catalog_of(tmp_path / "more"))
    assert registry.rollback() == Release(bundle=bundle_of(other), catalog=catalog_of(other))


def test_a_download_that_was_killed_leaves_nothing_in_the_way(registry: Registry, old: Path, tmp_path: Path) -> None:
    release = registry.publish(old)
    partial = tmp_path / "cache" / f".{release.catalog}.partial"
    partial.mkdir(parents=True)
    (partial / "codes.npy").write_bytes(b"half of it")
    assert content(download(registry, "catalog", release.catalog, tmp_path / "cache")) == content(old / "catalog")
    assert not partial.exists()


def test_a_download_beside_requests_leaves_most_of_the_time_to_them(
    registry: Registry, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = registry.publish(old)
    read_chunk = registry._store.read_chunk
    reads: list[str] = []

    def take_long(sha256: str) -> bytes | None:
        reads.append(sha256)
        time.sleep(0.005)
        return read_chunk(sha256)

    monkeypatch.setattr(registry._store, "read_chunk", take_long)
    (tmp_path / "cache").mkdir()
    started = time.monotonic()
    registry.download(VersionKey("catalog", release.catalog), tmp_path / "cache" / "fetched", share=0.25)
    assert time.monotonic() - started >= len(reads) * 0.005 / 0.25
    assert content(tmp_path / "cache" / "fetched") == content(old / "catalog")


def test_an_unknown_version_is_named(registry: Registry) -> None:
    with pytest.raises(BundleError, match="catalog/0123456789abcdef is not in the registry"):
        registry.describe(VersionKey.of("catalog", "0123456789abcdef"))


@pytest.mark.parametrize("name", ["catalog/../../etc", "catalog", "bundle/", "folder/0123456789abcdef", ""])
def test_a_name_from_outside_has_the_form_of_a_version(name: str) -> None:
    with pytest.raises(BundleError, match="is no"):
        VersionKey.parse(name)


def test_a_folder_without_a_catalog_is_not_published(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"catalog\.json"):
        registry.publish(catalog=tmp_path)
    with pytest.raises(BundleError, match="is no bundle"):
        registry.publish(tmp_path)
    assert registry.versions() == []


def test_a_damaged_bundle_is_not_published(registry: Registry, old: Path) -> None:
    (old / "catalog" / "codes.npy").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"codes\.npy"):
        registry.publish(old)
    assert registry.current() is None


@pytest.mark.parametrize("damage", ["corrupt", "truncate", "delete"])
def test_a_damaged_chunk_is_refused_and_mended_by_publishing(
    damage: str, registry: Registry, old: Path, tmp_path: Path
) -> None:
    release = registry.publish(old)
    file = registry.describe(VersionKey("catalog", release.catalog)).files[0]
    chunk = registry._store.read_chunk(file.chunks[-1])
    assert chunk is not None
    match damage:
        case "corrupt":
            registry._store.write_chunk(file.chunks[-1], bytes([chunk[0] ^ 1]) + chunk[1:])
        case "truncate":
            registry._store.write_chunk(file.chunks[-1], chunk[:-1])
        case _:
            registry._store.sweep(lambda: set(file.chunks[:-1]), 0)

    with pytest.raises(BundleError, match=f"chunk .* of {file.name}.*publish it again"):
        download(registry, "catalog", release.catalog, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []

    registry.publish(old)
    assert content(download(registry, "catalog", release.catalog, tmp_path / "cache")) == content(old / "catalog")


def test_a_pointer_that_makes_no_sense_is_named(valkey: Valkey, old: Path, tmp_path: Path) -> None:
    with closing(open_registry(valkey.url)) as registry, Redis.from_url(valkey.url) as client:
        client.rpush(RELEASES, "nonsense")
        with pytest.raises(BundleError, match="pointer cannot be read"):
            registry.current()
    (tmp_path / "releases.json").write_text('{"not": "a list"}')
    with pytest.raises(BundleError, match=r"releases\.json is damaged"):
        open_registry(tmp_path).current()


def test_a_url_that_makes_no_sense_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no Redis URL"):
        open_registry("redis://127.0.0.1:no-port/0")


def test_a_release_that_comes_while_garbage_is_swept_keeps_its_chunks(
    registry: Registry, old: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publisher took longer than chunks without a manifest are left alone."""
    registry.publish(old)
    in_use = registry._chunks_in_use
    publishers: list[threading.Thread] = []

    def publish() -> None:
        with suppress(RegistryError):  # swept before it was released, and told so
            registry.publish(new)

    def look_then_be_overtaken() -> set[str]:
        found = in_use()
        if not publishers:
            publishers.append(threading.Thread(target=publish))
            publishers[0].start()
            publishers[0].join(1)
        return found

    monkeypatch.setattr(registry, "_chunks_in_use", look_then_be_overtaken)
    registry.collect_garbage(keep=1, unfinished_seconds=0)
    publishers[0].join()
    current = registry.current()
    assert current is not None
    for key in current.keys:
        download(registry, key.kind, key.version, tmp_path / "fetched")


def test_a_release_that_was_made_from_another_one_replaces_no_later_one(
    registry: Registry, old: Path, tmp_path: Path
) -> None:
    first = registry.publish(old)
    later = registry.publish(catalog=save_catalog(tmp_path / "later", seed=3))
    mine = save_catalog(tmp_path / "mine", seed=4)
    with pytest.raises(OvertakenError, match="do it again"):
        registry.publish(catalog=mine, replaces=first)
    assert registry.current() == later
    assert registry.publish(catalog=mine, replaces=later).catalog == catalog_of(mine)


def test_a_version_that_is_removed_while_others_are_listed_is_passed_over(
    registry: Registry, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = registry.publish(old)
    known = registry._store.known
    monkeypatch.setattr(registry._store, "known", lambda: [VersionKey("catalog", "0" * 16), *known()])
    assert {version.key for version in registry.versions()} == set(release.keys)
    assert registry._chunks_in_use() == {chunk for version in registry.versions() for chunk in version.chunks}


def test_a_folder_that_vanishes_while_it_is_published_is_named(
    registry: Registry, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.publish(old)
    write = registry._store.write_chunk

    def write_and_lose(sha256: str, chunk: bytes) -> None:
        write(sha256, chunk)
        shutil.rmtree(new, ignore_errors=True)

    monkeypatch.setattr(registry._store, "write_chunk", write_and_lose)
    with pytest.raises(BundleError, match="cannot be used"):
        registry.publish(new)
    assert registry.current() == before
