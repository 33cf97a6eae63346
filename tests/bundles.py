"""A small real bundle for tests: random weights, exported as ONNX, and a catalog whose items are easy to tell."""

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from model.bundle import space_hash, write_bundle
from model.catalog import Catalog
from model.catalog_header import SpaceSizes
from model.generator import Generator, GeneratorConfig
from model.generator_shape import GeneratorShape
from model.semantic_ids import IdSpace
from model.transformer_config import TransformerSizes
from model.trie import build_trie
from training.onnx_int8 import quantize_search
from training.onnx_search import export_search

SPACE = IdSpace(("text", "image"), levels=3, codes=16)
SPACE_HASH = space_hash(SPACE)
ITEMS = 60
MAX_HISTORY = 5
T5 = GeneratorShape()
SIZES = TransformerSizes(d_model=16, d_ff=32, heads=2, d_head=8, encoder_layers=1, decoder_layers=1)


def item_id(item: int) -> str:
    """The id of an item of :func:`build_catalog`; ids do not stand in item order."""
    return f"item-{(item * 7) % 100:02d}"


def random_codes(items: int = ITEMS, seed: int = 0) -> NDArray[np.uint8]:
    """Codes ``(2, items, 3)``; items 0 and 1 share their text ID."""
    codes = np.random.default_rng(seed).integers(0, SPACE.codes, (2, items, SPACE.levels), dtype=np.uint8)
    codes[0, 1] = codes[0, 0]
    return codes


def build_catalog(items: int = ITEMS, seed: int = 0, name: str = SPACE_HASH) -> Catalog:
    """A catalog; item i occurs ``items - i`` times in training, so item 0 is the most popular."""
    metadata = [
        (item_id(item), {"title": f"Title {item}", "category": ["toys"], "price": float(item)}) for item in range(items)
    ]
    return Catalog.build(SPACE, random_codes(items, seed), metadata, np.arange(items, 0, -1), name)


def random_generator(shape: GeneratorShape = T5) -> Generator:
    """A generator with fixed random weights."""
    torch.manual_seed(0)
    config = GeneratorConfig(space=SPACE, prompted_tasks=4, max_history=MAX_HISTORY, sizes=SIZES, shape=shape)
    return Generator(config).eval()


def write_test_bundle(folder: Path, shape: GeneratorShape = T5) -> Path:
    """Writes the bundle and returns its folder; the first export of a shape takes some seconds."""

    def fill(partial: Path) -> None:
        (partial / "generator.onnx").write_bytes(exported_graph(shape))
        (partial / "catalog").mkdir()
        build_catalog().save(partial / "catalog")

    return write_random_bundle(folder, fill, SPACE, SPACE_HASH, {"hr@10": 0.25})


@cache
def exported_graph(shape: GeneratorShape) -> bytes:
    """The graph of :func:`random_generator`, as a file holds it."""
    properties = graph_properties(SPACE, SPACE_HASH) | {
        "history_position": shape.position,
        "dense": json.dumps(shape.dense),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        export_generator(random_generator(shape), random_codes(), path, properties)
        return path.read_bytes()


def write_int8_bundle(trained: Path, folder: Path) -> Path:
    """Writes the bundle with an eight-bit graph beside its own, and returns its folder."""

    def fill(partial: Path) -> None:
        shutil.copy(trained / "generator.onnx", partial)
        quantize_search(trained / "generator.onnx", partial / "generator.int8.onnx")
        shutil.copytree(trained / "catalog", partial / "catalog")

    return write_random_bundle(folder, fill, SPACE, SPACE_HASH)


def write_retrained_bundle(trained: Path, folder: Path, seed: int = 1) -> Path:
    """Writes what another training run would: the same graph for another ID space, and another catalog; no export."""
    name = f"{seed:016x}"

    def fill(partial: Path) -> None:
        graph = onnx.load(trained / "generator.onnx")
        properties = {entry.key: entry.value for entry in graph.metadata_props}
        onnx.helper.set_model_props(graph, {**properties, "space_hash": name})
        onnx.save(graph, partial / "generator.onnx")
        (partial / "catalog").mkdir()
        build_catalog(seed=seed, name=name).save(partial / "catalog")

    return write_random_bundle(folder, fill, SPACE, name)


def write_reweighted_bundle(trained: Path, folder: Path, weights: dict[str, float]) -> Path:
    """Writes the bundle as if training had chosen these weights of the lists, and returns its folder."""
    shutil.copytree(trained, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["fusion"] = {**manifest["config"].get("fusion", {}), "weights": weights}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_random_bundle(
    folder: Path,
    fill: Callable[[Path], None],
    space: IdSpace,
    name: str,
    metrics: dict[str, Any] | None = None,
    max_history: int = MAX_HISTORY,
) -> Path:
    """Writes a bundle that nobody trained, filled by ``fill``, and returns its folder."""
    write_bundle(
        folder,
        fill,
        space=space,
        space_hash=name,
        config={"max_history": max_history},
        metrics=metrics or {},
        data_fingerprint="random",
        created_by="tests",
    )
    return folder


def graph_properties(space: IdSpace, name: str, max_history: int = MAX_HISTORY) -> dict[str, str]:
    """What a graph says of itself."""
    return {
        "id_space": SpaceSizes.of(space).model_dump_json(),
        "space_hash": name,
        "max_history": str(max_history),
        "history_position": "code",
    }


def export_generator(generator: Generator, codes: NDArray[np.uint8], path: Path, properties: dict[str, str]) -> None:
    """Exports the search as the export stage does."""
    trie = build_trie(codes)
    example = (
        torch.ones(2, 2 * len(codes) * codes.shape[2], dtype=torch.int64),
        torch.tensor([0, 1]),
        torch.from_numpy(trie.child_start),
        torch.from_numpy(trie.child_code),
        torch.ones(len(trie.child_code), dtype=torch.bool),
        torch.full((2, codes.shape[2], 3), -1, dtype=torch.int32),
        torch.zeros(5, dtype=torch.int64),
        torch.zeros(len(trie.child_code), dtype=torch.bool),
        torch.tensor([0, 1]),
    )
    export_search(generator.search(), example, path, properties)
