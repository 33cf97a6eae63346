"""Fetched versions on the disk: downloaded once, shared, and never removed while a process uses them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from model.errors import BundleError, CacheError, RegistryError
from model.redis_store import RedisStore
from model.registry import Registry, open_registry
from model.release import Release, VersionKey
from model.version_cache import KEPT_UNUSED, VersionCache
from tests.tiny_bundles import save_bundle, save_catalog

HOLD = """
import sys
from pathlib import Path
from model.registry import open_registry
from model.release import VersionKey
from model.version_cache import VersionCache
cache = VersionCache(Path(sys.argv[1]))
print(cache.hold(open_registry(sys.argv[2]), VersionKey.parse(sys.argv[3])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return open_registry(tmp_path / "registry")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VersionCache]:
    with closing(VersionCache(tmp_path / "cache")) as opened:
        yield opened


@pytest.fixture
def unreachable() -> Iterator[Registry]:
    with closing(Registry(RedisStore("redis://127.0.0.1:1", timeout=0.1))) as opened:
        yield opened


def publish_many(registry: Registry, folder: Path, count: int) -> list[VersionKey]:
    """Publishes catalogs; returns their names."""
    releases = [registry.publish(catalog=save_catalog(folder / str(seed), seed)) for seed in range(count)]
    return [VersionKey("catalog", release.catalog) for release in releases]


def use_one_after_the_other(cache: VersionCache, registry: Registry, keys: list[VersionKey]) -> list[Path]:
    """Holds one version at a time, as a server that swaps does."""
    folders = []
    for age, key in enumerate(keys):
        folders.append(cache.hold(registry, key))
        os.utime(folders[-1], (age, age))
        cache.keep_only([key])
    return folders


def test_a_second_use_reads_nothing_from_the_registry(
    registry: Registry, cache: VersionCache, unreachable: Registry, tmp_path: Path
) -> None:
    [key] = publish_many(registry, tmp_path, 1)
    assert not cache.has(key)
    folder = cache.hold(registry, key)
    assert cache.has(key)
    assert cache.hold(unreachable, key) == folder
    with closing(VersionCache(tmp_path / "cache")) as another:
        assert another.hold(unreachable, key) == folder


def test_processes_that_share_a_cache_download_once(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [key] = publish_many(registry, tmp_path, 1)
    caches = [VersionCache(tmp_path / "cache") for _ in range(4)]
    downloads: list[VersionKey] = []
    download = registry.download

    def count(key: VersionKey, target: Path, share: float) -> None:
        downloads.append(key)
        download(key, target, share)

    monkeypatch.setattr(registry, "download", count)
    threads = [threading.Thread(target=cache.hold, args=(registry, key)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloads == [key]
    assert all(cache.has(key) for cache in caches)
    for cache in caches:
        cache.close()


def test_old_versions_are_removed_but_for_the_latest(registry: Registry, cache: VersionCache, tmp_path: Path) -> None:
    folders = use_one_after_the_other(cache, registry, publish_many(registry, tmp_path, 5))
    assert [folder.exists() for folder in folders] == [False] * (5 - KEPT_UNUSED) + [True] * KEPT_UNUSED


def test_a_version_that_another_process_uses_stays_until_that_process_dies(
    registry: Registry, cache: VersionCache, tmp_path: Path
) -> None:
    keys = publish_many(registry, tmp_path, 4)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "cache"), str(tmp_path / "registry"), str(keys[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        used = Path(other.stdout.readline().decode().strip())
        os.utime(used, (0, 0))
        folders = use_one_after_the_other(cache, registry, keys[1:])
        assert used.exists()
        assert not folders[0].exists()
        other.kill()
    cache.keep_only([keys[-1]])
    assert not used.exists()


def test_a_version_that_is_removed_while_somebody_waits_for_it_is_fetched_again(
    registry: Registry, tmp_path: Path
) -> None:
    """Servers that start and swap at random, on one cache, over and over: every folder held is there and complete."""
    keys = publish_many(registry, tmp_path, 4)
    failures: list[Exception] = []

    def serve(offset: int) -> None:
        try:
            with closing(VersionCache(tmp_path / "cache")) as cache:
                for turn in range(12):
                    key = keys[(turn * offset) % len(keys)]
                    folder = cache.hold(registry, key)
                    cache.keep_only([key])
                    assert (folder / "catalog.json").read_bytes()
        except (AssertionError, OSError, BundleError, CacheError, RegistryError) as error:
            failures.append(error)

    threads = [threading.Thread(target=serve, args=(offset,)) for offset in (1, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_halves_of_killed_downloads_are_removed(registry: Registry, cache: VersionCache, tmp_path: Path) -> None:
    [key] = publish_many(registry, tmp_path, 1)
    half = cache.hold(registry, key).with_name(f".{'0' * 16}.partial")
    half.mkdir()
    cache.keep_only([key])
    assert not half.exists()


def test_what_was_served_last_is_remembered(registry: Registry, cache: VersionCache, tmp_path: Path) -> None:
    assert cache.remembered() is None
    release = registry.publish(save_bundle(tmp_path / "bundle", seed=1))
    cache.remember(release)
    assert VersionCache(tmp_path / "cache").remembered() == release
    (tmp_path / "cache" / "released.json").write_text("damaged")
    with pytest.raises(BundleError, match="cannot be read"):
        cache.remembered()


def test_every_user_may_read_what_was_fetched(registry: Registry, cache: VersionCache, tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle", seed=1)
    (bundle / "generator.onnx").chmod(0o600)
    [key, _] = registry.publish(bundle).keys
    folder = cache.hold(registry, key)
    assert (folder / "generator.onnx").stat().st_mode & 0o044 == 0o044


def test_a_cache_that_cannot_be_written_is_named(registry: Registry, cache: VersionCache, tmp_path: Path) -> None:
    [key] = publish_many(registry, tmp_path, 1)
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(CacheError, match="cache"):
        cache.hold(registry, key)
    with pytest.raises(CacheError, match="cache"):
        cache.remember(Release(bundle=None, catalog=key.version))


def test_using_a_version_makes_it_a_late_one(registry: Registry, cache: VersionCache, tmp_path: Path) -> None:
    keys = publish_many(registry, tmp_path, 3)
    folders = use_one_after_the_other(cache, registry, keys[:2])
    assert cache.hold(registry, keys[0]) == folders[0]
    assert folders[0].stat().st_mtime > time.time() - 60
    cache.hold(registry, keys[2])
    cache.keep_only([keys[2]])
    assert [folder.exists() for folder in folders] == [True, False]
