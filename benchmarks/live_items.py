"""How fast a changed item is served: ``python -m benchmarks.live_items``.

Prints JSON lines. First, for each catalog size, the seconds of folding changes into a live catalog (one item, and a
thousand at once) beside those of building its trie anew. Then, with two real servers on one real Valkey, the
milliseconds from sending a new item to one of them until each of the two serves it: the snapshot that requests get
holds the item from that moment on, in its trie too.
"""

import argparse
import json
import logging
import shutil
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np

from benchmarks.server_process import serving
from model.bundle import Bundle, write_bundle
from model.catalog import Catalog
from model.live_catalog import LiveCatalog
from model.live_log import LiveItem
from model.trie import build_trie
from tests.live_bundles import inputs_of, write_live_bundle
from tests.servers import start_valkey

LEVELS, CODES = 4, 256


def random_catalog(items: int, bundle: Bundle) -> Catalog:
    """A catalog of random IDs in the bundle's ID space."""
    space = bundle.manifest.id_space.space()
    codes = np.random.default_rng(0).integers(0, space.codes, (2, items, space.levels), dtype=np.uint8)
    told = ((f"item-{item}", {"title": f"Title {item}"}) for item in range(items))
    return Catalog.build(space, codes, told, np.arange(items, 0, -1), bundle.manifest.space_hash)


def new_items(first: int, count: int) -> list[LiveItem]:
    """New items with random codes."""
    codes = np.random.default_rng(first).integers(0, CODES, (count, 2 * LEVELS), dtype=np.uint8)
    return [
        LiveItem(f"new-{first + row}", first + row, False, True, {"title": "new"}, codes[row].tobytes())
        for row in range(count)
    ]


def measure_folding(base: Catalog) -> dict[str, float | int]:
    """Seconds of one fold of one and of a thousand items, the best of three, and of building the trie."""
    live = LiveCatalog.of(base)
    live.trie.item_leaf  # noqa: B018 (a service has it from its first request)
    seconds = {}
    for count in (1, 1000):
        runs = []
        for run in range(3):
            changes = new_items(1 + run * count, count)
            started = time.perf_counter()
            live.apply(changes[-1].sequence, changes)
            runs.append(time.perf_counter() - started)
        seconds[f"fold_{count}_s"] = round(min(runs), 4)
    started = time.perf_counter()
    build_trie(base.codes)
    return {"items": len(base), **seconds, "build_s": round(time.perf_counter() - started, 4)}


def write_large_bundle(folder: Path, small: Bundle, items: int) -> Path:
    """The small bundle's model with a catalog of ``items``."""

    def fill(partial: Path) -> None:
        names = [name for name in small.manifest.files if not name.startswith("catalog/")]
        for name in names:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(small.folder / name, partial / name)
        (partial / "catalog").mkdir()
        random_catalog(items, small).save(partial / "catalog")

    manifest = small.manifest
    write_bundle(
        folder,
        fill,
        space=manifest.id_space.space(),
        space_hash=manifest.space_hash,
        config=manifest.config,
        metrics={},
        data_fingerprint="random",
        created_by="benchmark",
    )
    return folder


def measure_visibility(urls: list[str], upserts: int) -> dict[str, dict[str, float]]:
    """Milliseconds from sending an item to the first server until the answer, and until each server serves it."""
    seen: dict[str, list[float]] = {"answered": [], "first": [], "second": []}
    clients = [httpx.Client(base_url=url, timeout=60) for url in urls]

    def watch(name: str, client: httpx.Client, item: str, started: float) -> None:
        while client.get(f"/items/{item}").status_code != 200:
            time.sleep(0.002)
        seen[name].append((time.perf_counter() - started) * 1e3)

    for number in range(upserts):
        item, body = f"live-{number}", inputs_of(number).metadata()
        started = time.perf_counter()
        names = zip(("first", "second"), clients, strict=True)
        watchers = [threading.Thread(target=watch, args=(name, client, item, started)) for name, client in names]
        for watcher in watchers:
            watcher.start()
        httpx.put(f"{urls[0]}/items/{item}", json=body, timeout=60).raise_for_status()
        seen["answered"].append((time.perf_counter() - started) * 1e3)
        for watcher in watchers:
            watcher.join()
    for client in clients:
        client.close()
    return {
        name: {"median_ms": round(statistics.median(values), 1), "max_ms": round(max(values), 1)}
        for name, values in seen.items()
    }


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fold", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--serve", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--upserts", type=int, default=20)
    arguments = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which nothing needs, is absent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = Bundle.load(write_live_bundle(folder / "small", levels=LEVELS, codes=CODES))
        for items in arguments.fold:
            _print({"benchmark": "live_items.fold", **measure_folding(random_catalog(items, small))})
        for items in arguments.serve:
            bundle = write_large_bundle(folder / f"bundle-{items}", small, items)
            valkey_folder = folder / f"valkey-{items}"
            valkey_folder.mkdir()
            with ExitStack() as stack:
                valkey = stack.enter_context(start_valkey(valkey_folder))
                settings = {"REDIS_URL": valkey.url, "MACREC_BUNDLE": str(bundle)}
                urls = [stack.enter_context(serving(folder / f"{place}-{items}", settings)).url for place in ("a", "b")]
                _print({"benchmark": "live_items.serve", "items": items, **measure_visibility(urls, arguments.upserts)})


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
