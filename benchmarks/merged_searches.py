"""How many searches a second are found where several run as one: ``python -m benchmarks.merged_searches``.

One process, one thread, random weights, 10,000 items with random IDs, both lists, histories of 20 items. In every round
each number of searches is run in turn, so that whatever else the machine does falls on all alike. With ``--provider
cuda`` the same on a GPU, where one search leaves most of it idle; with ``--capture`` as graphs that it replays.

A JSON line for each shape has milliseconds of a run by the number of searches in it, and how many times as many
searches a second that is as of one after another (medians over the rounds).
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import MAX_HISTORY, Graph, Request, exported, random_generator
from benchmarks.search import SHAPES, SPACE, generated_items
from service.engine import Engine
from service.search_rows import join_rows

MEASURED = ("published shape", "the same, 1 decoder layer")
TOGETHER = (1, 2, 4, 8, 16, 32)


def measure(graph: Graph, together: list[int], beam: int, items: int, rounds: int) -> dict[int, list[float]]:
    """Seconds of every run, by the number of searches in it."""
    rng, seconds = np.random.default_rng(0), {number: list[float]() for number in together}
    for _ in range(rounds):
        requests = [Request(rng.integers(0, items, MAX_HISTORY), (0, 1), beam) for _ in range(max(together))]
        searches = [graph.rows(request) for request in requests]
        for number in together:
            rows = join_rows(searches[:number])
            started = time.perf_counter()
            graph.search(rows)
            seconds[number].append(time.perf_counter() - started)
    return seconds


def report(shape: str, seconds: dict[int, list[float]], arguments: argparse.Namespace) -> dict[str, Any]:
    """One JSON line about a shape."""
    gain = {
        number: statistics.median(number * one / run for one, run in zip(seconds[1], runs, strict=True))
        for number, runs in seconds.items()
    }
    return {
        "benchmark": "merged_searches",
        "shape": shape,
        "provider": arguments.provider,
        "captured": arguments.capture,
        "threads": arguments.threads,
        "beam": arguments.beam,
        "p50_ms": {number: round(1e3 * statistics.median(runs), 2) for number, runs in seconds.items()},
        "times_as_many_a_second": {number: round(each, 2) for number, each in gain.items()},
    }


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--beam", type=int, default=20)
    parser.add_argument("--together", type=int, nargs="+", default=TOGETHER, help="numbers of searches; 1 comes first")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--capture", action="store_true", help="replay captured graphs")
    arguments = parser.parse_args()
    items = generated_items(arguments.items, 0)
    together = sorted({1, *arguments.together})
    for name in MEASURED:
        generator = random_generator(SPACE, *SHAPES[name], 0)
        with tempfile.TemporaryDirectory() as folder:
            path = exported(generator, items, Path(folder))
            captured = arguments.beam if arguments.capture else 0
            engine = Engine(path, arguments.provider, threads=arguments.threads, capture=captured)
            graph = Graph(engine, items, generator.config.shape)
            # Sizes that come again are captured.
            measure(graph, together, arguments.beam, arguments.items, 2)
            seconds = measure(graph, together, arguments.beam, arguments.items, arguments.rounds)
        sys.stdout.write(json.dumps(report(name, seconds, arguments)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
