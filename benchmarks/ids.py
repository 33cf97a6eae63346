"""What ids and metadata of many items cost: ``python -m benchmarks.ids --items 100000 1000000 10000000``.

For each catalog size a bundle of generated items is written, and one JSON line says

- the bytes an item by part of the catalog on the disk, and those of its metadata's text itself;
- the seconds of building and saving it, and the peak memory of the process that does, Python and libraries included;
- in a fresh process: the milliseconds of opening the catalog, of verifying the bundle, and of the first lookups, and
  how many megabytes more the process has for itself after each; the files are in the page cache, because they have
  just been written;
- for several real servers on one bundle: the seconds until each is ready, and the memory of all together after some
  requests to each. The kernel divides a page that several processes map by their number (PSS), so the sum counts what
  they share once; what is theirs alone is told apart.
"""

import argparse
import json
import logging
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.generated_bundle import item_id, write_generated_bundle
from benchmarks.server_process import ServerProcess, serving
from model.bundle import CATALOG_FOLDER, Bundle
from model.catalog import Catalog

PARTS = {
    "ids": ("item_ids.bin", "item_ids.offsets.npy"),
    "order of ids": ("item_ids.order.npy",),
    "index of ids": ("item_ids.index.*",),
    "metadata": ("metadata.*",),
    "attributes": ("attribute*",),
    "codes": ("codes.npy",),
    "trie": ("child_start.npy", "child_code.npy"),
    "leaf to items": ("leaf_start.npy", "leaf_item.npy"),
    "item to leaf": ("item_leaf.npy",),
    "popularity": ("popularity.npy", "rank.npy", "popular.npy"),
}
HISTORY = 10
ALLOWED = 1_000


def bytes_by_part(folder: Path, items: int) -> dict[str, float]:
    """Bytes an item of each part of a catalog, and of all."""
    sizes = {part: _size(folder, patterns) for part, patterns in PARTS.items()}
    everything = {"all": _size(folder, ("*",)), "text of metadata": _size(folder, ("metadata.bin",))}
    return {part: round(size / items, 2) for part, size in (sizes | everything).items()}


def _size(folder: Path, patterns: tuple[str, ...]) -> int:
    """Bytes of all files that one of ``patterns`` names."""
    return sum(path.stat().st_size for pattern in patterns for path in folder.glob(pattern))


def write(folder: Path, exported: Path, items: int) -> dict[str, float]:
    """Writes a bundle; seconds, and the peak memory of the process, in megabytes."""
    started = time.perf_counter()
    write_generated_bundle(folder, items, seed=1, exported=exported)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"build_seconds": round(time.perf_counter() - started, 1), "build_peak_mb": round(peak)}


def open_and_look(folder: Path, items: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each first time in this process, and how many megabytes it has more for itself after it."""
    found: dict[str, dict[str, float]] = {}
    before = memory_of(os.getpid())["own_mb"]
    wanted = [item_id(item) for item in np.random.default_rng(0).integers(0, items, 1_000).tolist()]

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        taken = (time.perf_counter() - started) * 1e3
        found[name] = {"ms": round(taken, 2), "more_mb": round(memory_of(os.getpid())["own_mb"] - before, 1)}
        return result

    catalog = timed("open", lambda: Catalog.load(folder / CATALOG_FOLDER))
    timed("verify", lambda: Bundle.load(folder))
    timed("first id", lambda: catalog.item_ids.find(item_id(items - 1)))
    timed("1,000 ids", lambda: catalog.item_ids.find_rows(wanted))
    timed("metadata of 10", lambda: [catalog.metadata(item) for item in range(0, items, items // 10)])
    return found


def memory_of(pid: int) -> dict[str, float]:
    """Megabytes of a process: resident, its share of them (PSS), of that files, and what is its own alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) / 1024 for name, size in (line.split(":", 1) for line in lines)}
    names = {"rss_mb": "Rss", "pss_mb": "Pss", "pss_file_mb": "Pss_File", "own_mb": "Pss_Anon"}
    return {told: round(sizes[name], 1) for told, name in names.items()}


def ask(server: ServerProcess, items: int, requests: int) -> dict[str, float]:
    """Asks for recommendations, the second half among a thousand items; milliseconds of the first and the last one."""
    rng = np.random.default_rng(server.pid)
    seconds = []
    with httpx.Client(base_url=server.url, timeout=120) as client:
        for number in range(requests):
            history = [item_id(item) for item in rng.integers(0, items, HISTORY).tolist()]
            body: dict[str, Any] = {"history": history, "timeout": 60}
            if number >= requests // 2:
                body["allow"] = [item_id(item) for item in rng.integers(0, items, ALLOWED).tolist()]
            started = time.perf_counter()
            client.post("/recommend", json=body).raise_for_status()
            seconds.append(time.perf_counter() - started)
    return {"first_request_ms": round(seconds[0] * 1e3, 1), "last_request_ms": round(seconds[-1] * 1e3, 1)}


def measure_servers(bundle: Path, folder: Path, items: int, processes: int, requests: int) -> dict[str, Any]:
    """Starts servers one after the other on one bundle, asks each, and adds up their memory."""
    with ExitStack() as stack:
        servers, told = [], []
        for number in range(processes):
            settings = {"MACREC_BUNDLE": str(bundle), "MACREC_STATE": "", "MACREC_DEADLINE": "60"}
            server = stack.enter_context(serving(folder / f"server-{number}", settings))
            servers.append(server)
            told.append({"ready_seconds": round(server.ready_seconds, 2), **ask(server, items, requests)})
        memory = [memory_of(server.pid) for server in servers]
    together = {name: round(sum(each[name] for each in memory), 1) for name in memory[0]}
    return {"servers": [{**each, **more} for each, more in zip(told, memory, strict=True)], "together": together}


def in_fresh_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work`` returns in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--processes", type=int, default=4, help="servers on one bundle")
    parser.add_argument("--requests", type=int, default=20, help="to each server")
    arguments = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which nothing needs, is absent
    with tempfile.TemporaryDirectory() as name:
        exported = write_generated_bundle(Path(name) / "exported", 100, seed=0)
        for items in arguments.items:
            with tempfile.TemporaryDirectory(dir=name) as inner:
                bundle = Path(inner) / "bundle"
                built = in_fresh_process(write, bundle, exported, items)
                line = {
                    "benchmark": "ids",
                    "items": items,
                    "bytes_an_item": bytes_by_part(bundle / CATALOG_FOLDER, items),
                    **built,
                    "first_time": in_fresh_process(open_and_look, bundle, items),
                    **measure_servers(bundle, Path(inner), items, arguments.processes, arguments.requests),
                }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
