"""How long a server takes to start, and whether its first requests are slow: ``python -m benchmarks.startup``.

A server is started several times on a bundle on the disk. Each time: seconds from its start until it is ready, then
requests one after another, the first of them against those that come much later.

Prints one JSON line for each number of items.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.generated_bundle import SMALL, write_generated_bundle
from benchmarks.server_process import serving
from benchmarks.swaps import random_bodies
from model.transformer_config import TransformerSizes

SIZES = {"published": TransformerSizes(), "small": SMALL}
FIRST = 100


def request_times(url: str, items: int, count: int) -> list[float]:
    """Milliseconds of requests one after another over one connection."""
    taken = []
    with httpx.Client(base_url=url) as client:
        for body in random_bodies(items, count):
            started = time.perf_counter()
            client.post("/recommend", json=body).raise_for_status()
            taken.append((time.perf_counter() - started) * 1e3)
    return taken


def describe(ready: list[float], times: list[list[float]]) -> dict[str, Any]:
    """The JSON line's content: over all starts."""
    steady = [statistics.median(each[-FIRST:]) for each in times]
    firsts = [each[0] / one for each, one in zip(times, steady, strict=True)]
    hundreds = [statistics.median(each[:FIRST]) / one for each, one in zip(times, steady, strict=True)]
    slowest = [max(each[:FIRST]) for each in times]
    return {
        "ready_seconds": [round(each, 2) for each in ready],
        "first_request_ms": round(statistics.median(each[0] for each in times), 2),
        "slowest_of_first_hundred_ms": round(statistics.median(slowest), 2),
        "steady_median_ms": round(statistics.median(steady), 2),
        "steady_p99_ms": round(float(np.median([np.percentile(each[-FIRST * 4 :], 99) for each in times])), 2),
        "first_by_steady": round(statistics.median(firsts), 2),
        "first_hundred_by_steady": round(statistics.median(hundreds), 2),
    }


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--sizes", choices=list(SIZES), default="published")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--requests", type=int, default=600)
    arguments = parser.parse_args()
    for items in arguments.items:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            bundle = write_generated_bundle(folder / "bundle", items, seed=0, sizes=SIZES[arguments.sizes])
            ready, times = [], []
            for start in range(arguments.starts):
                settings = {"MACREC_BUNDLE": str(bundle), "MACREC_STATE": ""}
                with serving(folder / f"server-{start}", settings) as server:
                    ready.append(server.ready_seconds)
                    times.append(request_times(server.url, items, arguments.requests))
        line = {"benchmark": "startup", "shape": arguments.sizes, "items": items, **describe(ready, times)}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
