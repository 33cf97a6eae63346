"""What HTTP costs and what happens under load: ``python -m benchmarks.throughput``.

A real server with one worker is pinned to one core, the load generator to another. In turn, rounds of requests one
after another inside this process, on the server's core and through the same recommender, and rounds of as many requests
as the server answers to a few clients give the share of the throughput that HTTP leaves, and how long the server's
threads run for a request: the event loop, which does all of HTTP, and the workers. Then requests come at a constant
rate, whether or not earlier ones were answered, at shares of that throughput: latency of accepted ones from the moment
at which they were due, how many were refused and how soon, whether any was answered behind its deadline, and how long a
probe waited meanwhile.

With ``--merge 16 --provider cuda --capture`` searches run on a GPU, up to 16 as one, for twice as many workers, threads
in this process as well as of the server, and four times as many clients.

Prints JSON lines. It needs two cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.generated_bundle import SMALL, SPACE, write_generated_bundle
from benchmarks.http_load import Answers, Client, percentile
from benchmarks.server_process import ProcessorTime, ServerProcess, serving
from benchmarks.swaps import random_bodies
from model.bundle import Bundle
from model.live_catalog import LiveCatalog
from model.transformer_config import TransformerSizes
from service.engine import Engine
from service.merged_searches import Merging
from service.query import Query
from service.recommender import Recommender
from tests.snapshots import make_snapshot

SIZES = {"published": TransformerSizes(), "small": SMALL}
SHARES = (0.5, 0.7, 0.9, 1.5, 2.0)
CLIENTS = 4
"""For each search that may run as one with others."""
PROBES = ("/livez", "/readyz")
PROBE_EVERY = 0.1


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Runs a block, and what it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class InProcess:
    """The recommender that the server runs, without the server."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        """Loads a bundle."""
        bundle, beam = Bundle.load(folder), arguments.beam
        captured = beam if arguments.capture else 0
        engine = Engine(bundle.generator, arguments.provider, merging=Merging(arguments.merge), capture=captured)
        self._workers = workers_for(arguments.merge)
        self._snapshot = make_snapshot(bundle, engine, LiveCatalog.of(bundle.catalog()))
        self._recommender = Recommender(max_beam=200)
        bodies = random_bodies(len(self._snapshot.catalog))
        weights = dict.fromkeys(SPACE.modalities, 1.0)
        self._queries = cycle([Query(tuple(each["history"]), k=10, beam=beam, weights=weights) for each in bodies])

    def rate(self, seconds: float) -> float:
        """Requests a second, one after another in each of the threads that a server would have."""
        started = time.perf_counter()

        def answered() -> int:
            count = 0
            while time.perf_counter() < started + seconds:
                assert self._recommender.recommend(self._snapshot, next(self._queries)).items
                count += 1
            return count

        with ThreadPoolExecutor(self._workers) as pool:
            counts = [pool.submit(answered) for _ in range(self._workers)]
            return sum(each.result() for each in counts) / (time.perf_counter() - started)


def workers_for(merge: int) -> int:
    """Workers that fill a group of merged searches while another runs; one, if each runs alone."""
    return 1 if merge == 1 else 2 * merge


async def compare(
    server: ServerProcess, client: Client, alone: InProcess, arguments: argparse.Namespace, cores: list[int]
) -> dict[str, Any]:
    """Requests a second in this process and over HTTP, in turn, and what a request over HTTP costs the server."""
    inside, outside, costs = [], [], list[ProcessorTime]()
    for turn in range(arguments.rounds + 1):
        with pinned(cores[0]):
            own = alone.rate(arguments.round_seconds)
        before = ProcessorTime.of(server.pid)
        with pinned(cores[1]):
            over_http = await client.capacity(CLIENTS * arguments.merge, arguments.round_seconds)
        after, requests = ProcessorTime.of(server.pid), over_http * arguments.round_seconds
        if turn:
            inside.append(own)
            outside.append(over_http)
            costs.append(ProcessorTime(*((end - start) / requests for start, end in zip(before, after, strict=True))))
    shares = [http / own for http, own in zip(outside, inside, strict=True)]
    return {
        "in_process_per_second": round(statistics.median(inside), 1),
        "http_per_second": round(statistics.median(outside), 1),
        "share": round(statistics.median(shares), 3),
        "event_loop_ms": round(1e3 * statistics.median(cost.event_loop for cost in costs), 2),
        "workers_ms": round(1e3 * statistics.median(cost.others for cost in costs), 2),
        "search_ms": round(1e3 * mean_search(server.url), 2),
    }


def mean_search(url: str) -> float:
    """Seconds that the searches of a server's requests took so far, by its own metrics."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = next(each.samples for each in families if each.name == "macrec_stage_seconds")
    of_search = {each.name: each.value for each in samples if each.labels["stage"] == "search"}
    return of_search["macrec_stage_seconds_sum"] / of_search["macrec_stage_seconds_count"]


async def probe(url: str, waited: list[float], ended: asyncio.Event) -> None:
    """Asks the probes again and again until the end, and notes how long each took."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        for path in cycle(PROBES):
            if ended.is_set():
                return
            started = time.perf_counter()
            (await client.get(path)).raise_for_status()
            waited.append(time.perf_counter() - started)
            await asyncio.sleep(PROBE_EVERY)


async def at_rate(server: ServerProcess, client: Client, rate: float, seconds: float) -> tuple[Answers, list[float]]:
    """Load at a constant rate, and how long probes waited meanwhile."""
    waited: list[float] = []
    ended = asyncio.Event()
    probing = asyncio.create_task(probe(server.url, waited, ended))
    answers = await client.constant(rate, seconds)
    ended.set()
    await probing
    return answers, waited


def describe(answers: Answers, waited: list[float], share: float, seconds: float, deadline: float) -> dict[str, Any]:
    """One JSON line's content about a rate."""
    return {
        "load": share,
        "answered_per_second": round(len(answers.seconds) / seconds, 1),
        **{f"p{percent}_ms": percentile(answers.seconds, percent) for percent in (50, 95, 99)},
        "behind_deadline": sum(each > deadline for each in answers.seconds),
        "refused": len(answers.refused),
        "refused_p50_ms": percentile(answers.refused, 50),
        "refused_p99_ms": percentile(answers.refused, 99),
        "failed": len(answers.failures),
        "probe_most_ms": percentile(waited, 100),
        "sent_late_p99_ms": percentile(answers.late, 99),
    }


def say(**line: Any) -> None:
    """Prints a JSON line at once."""
    sys.stdout.write(json.dumps({"benchmark": "throughput", **line}) + "\n")
    sys.stdout.flush()


async def measure(server: ServerProcess, alone: InProcess, arguments: argparse.Namespace, cores: list[int]) -> None:
    """Compares and loads one server."""
    bodies = [{**body, "beam": arguments.beam} for body in random_bodies(arguments.items)]
    client = Client(int(server.url.rsplit(":", 1)[1]), bodies)
    try:
        compared = await compare(server, client, alone, arguments, cores)
        say(shape=arguments.sizes, beam=arguments.beam, items=arguments.items, **compared)
        for share in SHARES:
            rate = share * compared["http_per_second"]
            with pinned(cores[1]):
                answers, waited = await at_rate(server, client, rate, arguments.seconds)
            say(shape=arguments.sizes, **describe(answers, waited, share, arguments.seconds, arguments.deadline))
            await asyncio.sleep(1)
    finally:
        await client.close()


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--sizes", choices=list(SIZES), default="published")
    parser.add_argument("--beam", type=int, default=20)
    parser.add_argument("--merge", type=int, default=1, help="searches at most that run as one")
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--capture", action="store_true", help="replay captured graphs (on a GPU)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds in this process and over HTTP")
    parser.add_argument("--round-seconds", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="at each rate")
    parser.add_argument("--deadline", type=float, default=1.0, help="seconds that the server gives a request")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("the server and the load generator need a core each, and this process may use one alone")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        bundle = write_generated_bundle(folder / "bundle", arguments.items, seed=0, sizes=SIZES[arguments.sizes])
        settings = {
            "MACREC_BUNDLE": str(bundle),
            "MACREC_STATE": "",
            "MACREC_DEADLINE": str(arguments.deadline),
            "MACREC_BEAM": str(arguments.beam),
            "MACREC_PROVIDER": arguments.provider,
            "MACREC_CAPTURE": str(arguments.capture),
            "MACREC_MERGE": str(arguments.merge),
            "MACREC_WORKERS": str(workers_for(arguments.merge)),
            "MACREC_QUEUE": str(64 * arguments.merge),
        }
        with pinned(cores[0]):
            server = stack.enter_context(serving(folder / "server", settings))
        asyncio.run(measure(server, InProcess(bundle, arguments), arguments, cores))


if __name__ == "__main__":
    main()
