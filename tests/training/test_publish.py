"""The publishing commands: only a whole bundle gets into the registry, and they say what became current."""

import argparse
from pathlib import Path

import numpy as np
import onnx
import pytest

from model.bundle import write_bundle
from model.catalog import Catalog, SpaceSizes
from model.errors import BundleError, ConfigError
from model.registry import open_registry
from model.semantic_ids import IdSpace
from tests.servers import start_valkey
from training.publish import add_commands

SPACE = IdSpace(("text", "image"), levels=2, codes=4)
SPACE_HASH = "5" * 16


def save_bundle(folder: Path, items: int) -> str:
    """Writes a bundle around an empty graph; returns its catalog's version."""

    def fill(partial: Path) -> None:
        graph = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
        properties = {"id_space": SpaceSizes.of(SPACE).model_dump_json(), "space_hash": SPACE_HASH}
        onnx.helper.set_model_props(graph, properties)
        onnx.save(graph, partial / "generator.onnx")
        (partial / "catalog").mkdir()
        codes, counts = np.zeros((2, items, 2), np.uint8), np.zeros(items, np.int32)
        rows = [(str(item), {"title": f"Item {item}"}) for item in range(items)]
        Catalog.build(SPACE, codes, rows, counts, SPACE_HASH).save(partial / "catalog")

    write_bundle(
        folder, fill, space=SPACE, space_hash=SPACE_HASH, config={}, metrics={}, data_fingerprint="", created_by="test"
    )
    return Catalog.load(folder / "catalog").version


def run(*words: str) -> None:
    """Runs one command as ``python -m training`` does."""
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    arguments = parser.parse_args(words)
    arguments.run(arguments)


def test_publish_versions_and_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--registry", str(tmp_path / "registry"))
    first, second = save_bundle(tmp_path / "first", 3), save_bundle(tmp_path / "second", 4)
    run("publish", "--bundle", str(tmp_path / "first"), *where)
    run("publish", "--bundle", str(tmp_path / "second"), *where)
    assert capsys.readouterr().out.split() == [first, second]

    run("versions", *where)
    older, newer = capsys.readouterr().out.splitlines()
    assert older.startswith(f"  {first}  ")
    assert newer.startswith(f"* {second}  ")
    assert "4 items" in newer
    assert SPACE_HASH in newer

    run("rollback", *where)
    assert capsys.readouterr().out.strip() == first == open_registry(tmp_path / "registry").current()


def test_the_redis_url_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = save_bundle(tmp_path / "bundle", 3)
    with start_valkey(tmp_path) as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        run("publish", "--bundle", str(tmp_path / "bundle"))
        assert open_registry(server.url).current() == version == capsys.readouterr().out.strip()


def test_a_damaged_bundle_is_not_published(tmp_path: Path) -> None:
    save_bundle(tmp_path / "bundle", 3)
    codes = tmp_path / "bundle" / "catalog" / "codes.npy"
    codes.write_bytes(codes.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match=r"codes\.npy"):
        run("publish", "--bundle", str(tmp_path / "bundle"), "--registry", str(tmp_path / "registry"))
    assert open_registry(tmp_path / "registry").current() is None


def test_a_registry_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(ConfigError, match="--redis URL or --registry FOLDER"):
        run("versions")
