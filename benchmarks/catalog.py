"""What catalogs of any size cost: ``python -m benchmarks.catalog --items 10000 1000000 10000000 100000000``.

Tries of random codes are built, saved and mapped again, and searched with one generator of the published sizes: without
rules, and with 200 seen items excluded and a filter that half of the items pass. All catalogs are searched in turn,
round after round in one process, so that whatever else the machine does falls on all alike.

A JSON line for each catalog: seconds of building and peak memory, bytes an item and modality of the trie and of the map
from leaves to items, milliseconds of mapping what was saved, of a filter's edges, and of searches, with their ratio to
the smallest catalog's.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.contestants import Items, exported, random_generator
from model.allowed import allowed_edges
from model.exclusions import dead_edges, pack_dead_edges
from model.generator_shape import GeneratorShape
from model.semantic_ids import IdSpace
from model.transformer_config import TransformerSizes
from model.trie import Trie, build_trie
from service.engine import Engine
from service.search_rows import SearchRows, TrieInputs
from training.memory import peak_memory_mib, reset_peak_memory

SPACE = IdSpace(("text", "image"), levels=4, codes=256)
HISTORY = 20
SEEN = 200
ARRAYS = ("child_start", "child_code", "leaf_start", "leaf_item")


class Built(NamedTuple):
    """A catalog's trie as searches see it, freely and with a filter, and what was measured so far."""

    trie: Trie
    free: TrieInputs
    filtered: TrieInputs
    line: dict[str, Any]


def timed(work: Callable[..., Any], *inputs: Any) -> tuple[Any, float]:
    """What a call returns, and its seconds."""
    started = time.perf_counter()
    result = work(*inputs)
    return result, time.perf_counter() - started


def map_trie(folder: Path, items: int, depth_start: NDArray[np.int64]) -> Trie:
    """A trie that was saved, its arrays on the disk."""
    arrays = {name: np.load(folder / f"{items}-{name}.npy", mmap_mode="r") for name in ARRAYS}
    return Trie(**arrays, depth_start=depth_start)


def build(items: int, seed: int, engine: Engine, folder: Path) -> Built:
    """Builds a trie of random codes, saves it, maps it, and works out a filter."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, SPACE.codes, (2, items, SPACE.levels), dtype=np.uint8)
    reset_peak_memory()
    trie, seconds = timed(build_trie, codes)
    peak = peak_memory_mib()
    del codes
    for name in ARRAYS:
        np.save(folder / f"{items}-{name}.npy", getattr(trie, name))
    mapped, mapping = timed(map_trie, folder, items, trie.depth_start)
    allowed = rng.random(items) < 0.5
    edges, filtering = timed(allowed_edges, mapped, allowed)
    free = engine.place(mapped, np.zeros(len(mapped.child_code), dtype=np.bool_))
    both = 2 * items
    line = {
        "items": items,
        "build_seconds": round(seconds, 2),
        "build_peak_mib": peak,
        "trie_bytes": round((mapped.child_start.nbytes + mapped.child_code.nbytes) / both, 2),
        "leaf_to_item_bytes": round((mapped.leaf_start.nbytes + mapped.leaf_item.nbytes) / both, 2),
        "map_ms": round(mapping * 1e3, 2),
        "filter_ms": round(filtering * 1e3, 1),
    }
    return Built(mapped, free, engine.restrict(free, edges), line)


def search_times(engine: Engine, catalogs: list[Built], rounds: int, beam: int, seed: int) -> list[dict[str, Any]]:
    """Milliseconds of every search of every catalog, in turn; the first round does not count."""
    rng = np.random.default_rng(seed)
    times: list[dict[str, list[float]]] = [{"free": [], "filtered": []} for _ in catalogs]
    for turn in range(rounds + 1):
        tokens = np.stack(
            [SPACE.tokens(m, rng.integers(0, SPACE.codes, (HISTORY, SPACE.levels))).ravel() for m in range(2)]
        )
        for catalog, taken in zip(catalogs, times, strict=True):
            seen = rng.choice(catalog.trie.items, SEEN, replace=False)
            dead = pack_dead_edges([dead_edges(catalog.trie, modality, seen) for modality in range(2)])
            none = np.full((2, SPACE.levels, 1), -1, dtype=np.int32)
            for name, inputs, forbidden in (("free", catalog.free, none), ("filtered", catalog.filtered, dead)):
                rows = SearchRows(tokens, np.arange(2), forbidden, beam)
                found, seconds = timed(engine.search, inputs, rows)
                assert (found.leaves[:, 0] >= 0).all()
                if turn:
                    taken[name].append(seconds * 1e3)
    smallest = times[0]
    return [
        {
            f"{name}_{kind}": value
            for name, each in taken.items()
            for kind, value in (
                ("search_ms", round(statistics.median(each), 2)),
                ("by_smallest", round(statistics.median(np.divide(each, smallest[name])), 3)),
            )
        }
        for taken in times
    ]


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--beam", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codes = np.random.default_rng(0).integers(0, SPACE.codes, (2, 500, SPACE.levels), dtype=np.uint8)
        generator = random_generator(SPACE, TransformerSizes(), GeneratorShape(), arguments.seed)
        engine = Engine(exported(generator, Items(SPACE, codes, build_trie(codes)), folder))
        catalogs = [build(items, arguments.seed, engine, folder) for items in sorted(arguments.items)]
        for catalog, times in zip(
            catalogs, search_times(engine, catalogs, arguments.rounds, arguments.beam, arguments.seed), strict=True
        ):
            sys.stdout.write(json.dumps({"benchmark": "catalog", **catalog.line, **times}) + "\n")


if __name__ == "__main__":
    main()
