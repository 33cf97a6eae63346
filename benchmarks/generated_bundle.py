"""Bundles of any number of items for benchmarks: a generator with random weights, random codes, plausible metadata."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from model.bundle import CATALOG_FOLDER, GENERATOR_FILE
from model.catalog import Catalog
from model.generator import Generator, GeneratorConfig
from model.semantic_ids import IdSpace
from model.transformer_config import TransformerSizes
from tests.bundles import export_generator, graph_properties, write_random_bundle

SPACE = IdSpace(("text", "image"), levels=4, codes=256)
MAX_HISTORY = 20
SMALL = TransformerSizes(d_ff=256, heads=4, d_head=32, encoder_layers=2, decoder_layers=2)
"""The sizes of the sample shop's generator."""


def item_id(item: int) -> str:
    """The id of an item."""
    return f"item-{item:08d}"


def write_catalog(folder: Path, items: int, seed: int, space_hash: str) -> Path:
    """A catalog whose codes and popularity depend on ``seed``; an item's metadata is about 150 bytes."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, SPACE.codes, (2, items, SPACE.levels), dtype=np.uint8)
    prices = rng.integers(100, 100_000, items) / 100

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for item in range(items):
            metadata = {
                "title": f"Generated item {item} of catalog {seed}",
                "category": ["shop", f"category {item % 97}"],
                "price": float(prices[item]),
                "text": f"One of {items} items; it resembles items {item // 2} and {item // 3}.",
            }
            yield item_id(item), metadata

    folder.mkdir(parents=True)
    Catalog.build(SPACE, codes, rows(), rng.zipf(1.5, items).clip(max=10_000), space_hash).save(folder)
    return folder


def write_generated_bundle(
    folder: Path, items: int, seed: int, sizes: TransformerSizes = SMALL, exported: Path | None = None
) -> Path:
    """A bundle of its own ID space; with the graph of the bundle ``exported`` instead of a new export, if given."""
    space_hash = f"{seed:016x}"
    properties = graph_properties(SPACE, space_hash, MAX_HISTORY)

    def fill(partial: Path) -> None:
        if exported is None:
            _export(partial / GENERATOR_FILE, seed, sizes, properties)
        else:
            graph = onnx.load(exported / GENERATOR_FILE)
            onnx.helper.set_model_props(graph, properties)
            onnx.save(graph, partial / GENERATOR_FILE)
        write_catalog(partial / CATALOG_FOLDER, items, seed, space_hash)

    return write_random_bundle(folder, fill, SPACE, space_hash, max_history=MAX_HISTORY)


def _export(path: Path, seed: int, sizes: TransformerSizes, properties: dict[str, str]) -> None:
    """Exports a generator that nobody trained."""
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(space=SPACE, prompted_tasks=1, max_history=MAX_HISTORY, sizes=sizes)).eval()
    codes = np.random.default_rng(seed).integers(0, SPACE.codes, (2, 500, SPACE.levels), dtype=np.uint8)
    export_generator(generator, codes, path, properties)
