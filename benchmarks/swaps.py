"""What swaps cost those who ask meanwhile, and in memory: ``python -m benchmarks.swaps``.

A real server that started from Redis alone gets requests at a constant rate, half of what it can answer. Pairs of equal
stretches, one quiet and one in which another catalog is released every few seconds, each fetched from Redis, verified,
loaded and swapped in; the order within a pair alternates. Then bundle and catalog are swapped together many times over,
and the server's memory is read as it goes.

Prints JSON lines; the last one has the failed requests, the ratio of p99 with and without swaps (median of the pairs),
and the memory by number of swaps.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generated_bundle import item_id, write_catalog, write_generated_bundle
from benchmarks.http_load import Answers, Client
from model.redis_store import RedisStore
from model.registry import Registry
from model.release import Release
from tests.servers import free_port, spawn, start_valkey

RING = 5
"""Catalogs that take turns: more than a server's cache keeps, so that each swap fetches its catalog anew."""

MEMORY_EVERY = 20
"""Swaps between two readings of the memory; until the first ones allocators and caches are still filling."""


class Server:
    """A service that runs in a process of its own, and the pointer that it follows."""

    def __init__(self, port: int, pid: int, store: RedisStore) -> None:
        """Knows where the server listens."""
        self.port = port
        self._pid = pid
        self._store = store

    def release(self, release: Release) -> None:
        """Moves the pointer."""
        assert self._store.release(release, {}, (), self._store.current())

    def serves(self, version: str) -> bool:
        """Whether new requests get this catalog."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                served: str = json.load(answer)["catalog_version"]
        except OSError:
            return False
        return served == version

    def wait_for(self, version: str, seconds: float = 120.0) -> None:
        """Returns when the catalog is served."""
        deadline = time.monotonic() + seconds
        while not self.serves(version):
            if time.monotonic() > deadline:
                raise TimeoutError(f"catalog {version} was not served within {seconds} s")
            time.sleep(0.02)

    def swaps(self, result: str) -> int:
        """How many swaps ended like that."""
        wanted = f'macrec_catalog_swaps_total{{result="{result}"}} '
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return int(float(next(line for line in lines if line.startswith(wanted)).removeprefix(wanted)))

    def memory(self) -> dict[str, float]:
        """Megabytes of the process: all, and without the files that it maps (which every process shares)."""
        status = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in status)
        return {
            "rss_mb": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
            "anonymous_mb": round(int(fields["RssAnon"].split()[0]) / 1024, 1),
        }


@contextmanager
def serving(folder: Path, redis_url: str, workers: int) -> Iterator[Server]:
    """A server that knows nothing but Redis."""
    port, store = free_port(), RedisStore(redis_url, timeout=5.0)
    settings = {
        "REDIS_URL": redis_url,
        "MACREC_BUNDLE": "",
        "MACREC_CATALOG_CACHE": str(folder / "cache"),
        "MACREC_LOG_LEVEL": "WARNING",
        "MACREC_PORT": str(port),
        "MACREC_WORKERS": str(workers),
    }
    process = spawn([sys.executable, "-m", "service"], folder / "service.log", env={**os.environ, **settings})
    try:
        yield Server(port, process.pid, store)
    finally:
        process.terminate()
        process.wait(timeout=30)
        store.close()


def publish_ring(folder: Path, redis_url: str, items: int) -> tuple[list[Release], list[Release]]:
    """Publishes what the server will swap: catalogs of one bundle, and two bundles with a catalog each."""
    one = write_generated_bundle(folder / "one", items, seed=1)
    two = write_generated_bundle(folder / "two", items, seed=2, exported=one)
    registry = Registry(RedisStore(redis_url, timeout=30.0))
    bundles = [registry.publish(two), registry.publish(one)]
    catalogs = [
        registry.publish(catalog=write_catalog(folder / f"catalog-{seed}", items, seed, f"{1:016x}"))
        for seed in range(10, 10 + RING)
    ]
    registry.close()
    return catalogs, bundles


def random_bodies(items: int, count: int = 256) -> list[dict[str, Any]]:
    """Requests with histories of 5 to 20 items."""
    rng = np.random.default_rng(0)
    return [
        {"history": [item_id(int(item)) for item in rng.integers(0, items, rng.integers(5, 21))]} for _ in range(count)
    ]


async def stretch(
    server: Server, client: Client, rate: float, seconds: float, swaps: Iterator[Release] | None, every: float
) -> Answers:
    """Load for a while; with ``swaps`` the next one is released every so often."""

    async def release_in_turn() -> None:
        assert swaps is not None
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(server.release, next(swaps))

    releasing = asyncio.create_task(release_in_turn()) if swaps else None
    answers = await client.constant(rate, seconds)
    if releasing:
        releasing.cancel()
    return answers


def describe(kind: str, answers: Answers, swapped: int) -> dict[str, Any]:
    """One JSON line about a stretch."""
    return {
        "benchmark": "swaps",
        "stretch": kind,
        "requests": len(answers.seconds) + len(answers.refused) + len(answers.failures),
        "failed": len(answers.refused) + len(answers.failures),
        "p50_ms": answers.percentile(50),
        "p99_ms": answers.percentile(99),
        "sent_late_p99_ms": round(float(np.percentile(answers.late, 99)) * 1e3, 3),
        "swaps": swapped,
        "versions": len(answers.versions),
    }


async def measure_latency(
    server: Server, client: Client, arguments: argparse.Namespace, ring: Iterator[Release]
) -> dict[str, Any]:
    """The pairs."""
    await client.capacity(2 * arguments.workers, arguments.warm_up)
    capacity = await client.capacity(2 * arguments.workers, arguments.warm_up)
    rate = capacity * arguments.load
    ratios: list[float] = []
    failures: list[str] = []
    for pair in range(arguments.pairs):
        p99 = {}
        for swapping in (False, True) if pair % 2 == 0 else (True, False):
            before = await asyncio.to_thread(server.swaps, "swapped")
            answers = await stretch(
                server, client, rate, arguments.seconds, ring if swapping else None, arguments.every
            )
            swapped = await asyncio.to_thread(server.swaps, "swapped") - before
            say(describe("swaps" if swapping else "quiet", answers, swapped))
            p99[swapping] = answers.percentile(99)
            failures += answers.failures + ["refused"] * len(answers.refused)
            await asyncio.sleep(1)
        ratios.append(p99[True] / p99[False])
    return {
        "capacity_per_second": round(capacity, 1),
        "rate_per_second": round(rate, 1),
        "failed": len(failures),
        "failures": sorted(set(failures))[:5],
        "p99_ratios": [round(ratio, 3) for ratio in ratios],
        "p99_ratio_median": round(statistics.median(ratios), 3) if ratios else None,
    }


def measure_memory(server: Server, swaps: int, bundles: list[Release]) -> dict[str, Any]:
    """Swaps model and catalog over and over; the memory every few swaps, the last entry after the last one."""
    turns, memory = cycle(bundles), {}
    for number in range(1, swaps + 1):
        release = next(turns)
        server.release(release)
        server.wait_for(release.catalog)
        if number % MEMORY_EVERY == 0 or number == swaps:
            memory[number] = server.memory()
    return {"memory_after_swaps": memory}


def say(result: dict[str, Any]) -> None:
    """Prints a JSON line at once."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


async def with_client(server: Server, arguments: argparse.Namespace, catalogs: list[Release]) -> dict[str, Any]:
    """Measures with one set of connections."""
    client = Client(server.port, random_bodies(arguments.items))
    try:
        return await measure_latency(server, client, arguments, cycle(catalogs))
    finally:
        await client.close()


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="of one stretch")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two swaps")
    parser.add_argument("--load", type=float, default=0.5, help="share of the measured capacity")
    parser.add_argument("--warm-up", type=float, default=10.0, help="seconds, also of measuring the capacity")
    parser.add_argument("--workers", type=int, default=1, help="searches at once; leave a core to the load generator")
    parser.add_argument("--memory-swaps", type=int, default=200)
    arguments = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which nothing needs, is absent
    with tempfile.TemporaryDirectory() as name, start_valkey(Path(name)) as valkey:
        folder = Path(name)
        catalogs, bundles = publish_ring(folder, valkey.url, arguments.items)
        with serving(folder, valkey.url, arguments.workers) as server:
            server.wait_for(catalogs[-1].catalog)
            latency = asyncio.run(with_client(server, arguments, catalogs))
            memory = measure_memory(server, arguments.memory_swaps, bundles)
            say(
                {"benchmark": "swaps", "items": arguments.items, **latency, **memory, "refused": server.swaps("failed")}
            )


if __name__ == "__main__":
    main()
