"""The publishing commands: only what is whole gets into the registry, and they say what became current."""

import argparse
from pathlib import Path

import pytest

from model.errors import BundleError, ConfigError
from model.registry import open_registry
from model.release import Release
from tests.servers import start_valkey
from tests.tiny_bundles import SPACE_HASH, bundle_of, catalog_of, save_bundle, save_catalog
from training.publish import add_commands


def run(*words: str) -> None:
    """Runs one command as ``python -m training`` does."""
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    arguments = parser.parse_args(words)
    arguments.run(arguments)


def test_publish_versions_rollback_and_gc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--registry", str(tmp_path / "registry"))
    bundle, catalog = save_bundle(tmp_path / "first", 1), save_catalog(tmp_path / "second", 2, items=4)
    run("publish", "--bundle", str(bundle), *where)
    run("publish", "--catalog", str(catalog), *where)
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"bundle {bundle_of(bundle)} catalog {catalog_of(bundle)}"
    assert second == f"bundle {bundle_of(bundle)} catalog {catalog_of(catalog)}"

    run("versions", *where)
    model, older, newer = capsys.readouterr().out.splitlines()
    assert model.startswith(f"* bundle   {bundle_of(bundle)}  ")
    assert older.startswith(f"  catalog  {catalog_of(bundle)}  ")
    assert newer.startswith(f"* catalog  {catalog_of(catalog)}  ")
    assert "4 items" in newer
    assert all(SPACE_HASH in line for line in (model, older, newer))

    run("rollback", *where)
    assert capsys.readouterr().out.splitlines() == [first]
    release = Release(bundle=bundle_of(bundle), catalog=catalog_of(bundle))
    assert open_registry(tmp_path / "registry").current() == release

    run("gc", "--keep", "1", "--unfinished", "0", *where)
    assert capsys.readouterr().out.splitlines()[0] == f"catalog/{catalog_of(catalog)}"
    assert open_registry(tmp_path / "registry").current() == release


def test_the_redis_url_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = save_bundle(tmp_path / "bundle", 3)
    with start_valkey(tmp_path) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        run("publish", "--bundle", str(bundle))
        registry = open_registry(server.url)
        assert registry.current() == Release(bundle=bundle_of(bundle), catalog=catalog_of(bundle))
        registry.close()
    assert catalog_of(bundle) in capsys.readouterr().out


def test_a_damaged_bundle_is_not_published(tmp_path: Path) -> None:
    codes = save_bundle(tmp_path / "bundle", 3) / "catalog" / "codes.npy"
    codes.write_bytes(codes.read_bytes()[:-1] + b"\x09")
    with pytest.raises(BundleError, match=r"codes\.npy"):
        run("publish", "--bundle", str(tmp_path / "bundle"), "--registry", str(tmp_path / "registry"))
    assert open_registry(tmp_path / "registry").current() is None


def test_something_must_be_published_and_the_current_release_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="--bundle FOLDER, --catalog FOLDER or both"):
        run("publish", "--registry", str(tmp_path))
    with pytest.raises(SystemExit):
        run("gc", "--keep", "0", "--registry", str(tmp_path))
    assert "the current release is always kept" in capsys.readouterr().err


def test_a_registry_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(ConfigError, match="--redis URL or --registry FOLDER"):
        run("versions")
