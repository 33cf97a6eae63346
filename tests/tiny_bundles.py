"""Bundles and catalogs that cost nothing to make: real files and hashes around a graph that computes nothing."""

from pathlib import Path

import numpy as np
import onnx

from model.bundle import Bundle, write_bundle
from model.catalog import Catalog
from model.catalog_header import SpaceSizes
from model.semantic_ids import IdSpace

SPACE = IdSpace(("text", "image"), levels=3, codes=8)
SPACE_HASH = "5" * 16


def save_catalog(folder: Path, seed: int, space_hash: str = SPACE_HASH, items: int = 20) -> Path:
    """Writes a catalog whose codes depend on ``seed``; its items do not."""
    codes = np.random.default_rng(seed).integers(0, SPACE.codes, (2, items, SPACE.levels), dtype=np.uint8)
    rows = [(f"item-{number}", {"title": f"Item {number}"}) for number in range(items)]
    folder.mkdir(parents=True)
    Catalog.build(SPACE, codes, rows, np.arange(items), space_hash).save(folder)
    return folder


def save_bundle(folder: Path, seed: int, space_hash: str = SPACE_HASH, items: int = 20) -> Path:
    """Writes a bundle whose catalog is that of :func:`save_catalog` and whose generator depends on ``space_hash``."""

    def fill(partial: Path) -> None:
        graph = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
        properties = {"id_space": SpaceSizes.of(SPACE).model_dump_json(), "space_hash": space_hash}
        onnx.helper.set_model_props(graph, properties)
        onnx.save(graph, partial / "generator.onnx")
        (partial / "encoders").mkdir()
        (partial / "encoders" / "vocabulary.txt").write_text("a few words\n" * 20)
        save_catalog(partial / "catalog", seed, space_hash, items)

    write_bundle(
        folder, fill, space=SPACE, space_hash=space_hash, config={}, metrics={}, data_fingerprint="", created_by="test"
    )
    return folder


def bundle_of(folder: Path) -> str:
    """The version of the bundle in ``folder``."""
    return Bundle.load(folder).version


def catalog_of(folder: Path) -> str:
    """The version of the catalog in ``folder``, which may be a bundle's."""
    inner = folder / "catalog"
    return Catalog.load(inner if inner.exists() else folder).version
