"""What rules cost a search: ``python -m benchmarks.filters --items 100000 1000000 10000000``.

A randomly initialised generator of default sizes is exported as training exports it and run by the service's own
recommender on generated catalogs. Every case is asked in turn, round after round in one process, so that whatever else
the machine does falls on all of them alike; each is compared with the same request without rules. Prints one JSON line
for each catalog size: median milliseconds and ratios, the first use of a filter, and allow lists by length.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generated_bundle import SPACE, item_id, write_generated_bundle
from model.bundle import Bundle
from model.catalog import Catalog, Item
from model.filters import Filter
from model.live_catalog import LiveCatalog
from model.transformer_config import TransformerSizes
from service.engine import Engine
from service.filter_cache import FilterCache
from service.query import AttributeCap, Query
from service.recommender import Recommender
from service.snapshot import Snapshot
from tests.snapshots import make_snapshot

SEEN = 200
CATEGORIES = 20
FILTER: dict[str, Any] = {
    "all": [{"category": ["category 3", "category 7"]}, {"attribute": "price", "min": 10, "max": 90}]
}


def generated_items(items: int, seed: int) -> Iterator[Item]:
    """Ids and metadata; a brand has about a hundred items."""
    rng = np.random.default_rng(seed)
    categories = rng.integers(0, CATEGORIES, items)
    prices, brands = rng.integers(1, 200, items), rng.integers(0, max(1, items // 100), items)
    for item in range(items):
        yield (
            item_id(item),
            {
                "title": f"Item {item}",
                "category": [f"category {categories[item]}"],
                "price": float(prices[item]),
                "attributes": {"brand": f"brand {brands[item]}", "new": bool(item % 3)},
            },
        )


def build_snapshot(bundle: Bundle, engine: Engine, items: int, seed: int, folder: Path) -> Snapshot:
    """A catalog of random IDs, saved and mapped as the service maps it."""
    codes = np.random.default_rng(seed).integers(0, SPACE.codes, (2, items, SPACE.levels), dtype=np.uint8)
    counts = np.random.default_rng(seed).integers(1, 1000, items)
    folder.mkdir()
    Catalog.build(SPACE, codes, generated_items(items, seed), counts, bundle.manifest.space_hash).save(folder)
    catalog = LiveCatalog.of(Catalog.load(folder))
    return make_snapshot(bundle, engine, catalog)


def milliseconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def measure(snapshot: Snapshot, rounds: int, beam: int, seed: int) -> dict[str, Any]:
    """Asks every case once in each round and compares the medians."""
    rng = np.random.default_rng(seed)
    items = len(snapshot.catalog)
    recommender = Recommender(max_beam=200)
    rule = Filter.model_validate(FILTER)
    lists = {
        size: tuple(map(item_id, rng.choice(items, size, replace=False).tolist()))
        for size in (10, 1_000, 100_000)
        if size <= items
    }

    def query() -> Query:
        history = tuple(map(item_id, rng.choice(items, SEEN, replace=False).tolist()))
        weights = dict.fromkeys(SPACE.modalities, 1.0)
        return Query(history, k=10, beam=beam, weights=weights, exclude_seen=False)

    cases: dict[str, Callable[[Query], Query]] = {
        "no rules": lambda query: query,
        "seen": lambda query: replace(query, exclude_seen=True),
        "filter": lambda query: replace(query, filter=rule),
        "filter and seen": lambda query: replace(query, filter=rule, exclude_seen=True),
        "cap": lambda query: replace(query, caps=(AttributeCap("brand", 2),)),
        **{f"allow {size}": partial(_allowing, ids) for size, ids in lists.items()},
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 1):
        asked = query()
        for name, change in cases.items():
            taken = milliseconds(partial(recommender.recommend, snapshot, change(asked)))
            if turn:
                times[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    ratios = {
        name: statistics.median(mine / plain for mine, plain in zip(taken, times["no rules"], strict=True))
        for name, taken in times.items()
    }
    first = [milliseconds(lambda: FilterCache().get(snapshot, rule)) for _ in range(3)]
    cache = FilterCache()
    cache.get(snapshot, rule)
    return {
        "p50_ms": {name: round(each, 2) for name, each in medians.items()},
        "ratio": {name: round(each, 3) for name, each in ratios.items()},
        "first_use_of_a_filter_ms": round(statistics.median(first), 1),
        "bytes_of_a_filter": cache.nbytes,
    }


def _allowing(ids: tuple[str, ...], query: Query) -> Query:
    """The query with an allow list."""
    return replace(query, allow=ids)


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--beam", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.load(write_generated_bundle(Path(folder) / "bundle", 100, seed=0, sizes=TransformerSizes()))
        engine = Engine(bundle.generator, threads=arguments.threads)
        for items in arguments.items:
            started = time.perf_counter()
            snapshot = build_snapshot(bundle, engine, items, arguments.seed, Path(folder) / f"{items}")
            built = time.perf_counter() - started
            found = measure(snapshot, arguments.rounds, arguments.beam, arguments.seed)
            about = {"benchmark": "filters", "items": items, "beam": arguments.beam, "build_seconds": round(built, 1)}
            peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            sys.stdout.write(json.dumps({**about, **found, "peak_memory_mb": peak}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
