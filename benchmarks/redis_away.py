"""What Redis' absence costs a reader: ``python -m benchmarks.redis_away``.

One real server, one real Valkey behind a proxy, and users whose histories are stored there. ``GET /recommend/{user}``
is timed with Redis at hand, and with Redis dead, silent, slow (each answer late by half a second), with another
password and full; before each fault it is timed at hand again. Prints a JSON line for each: milliseconds of the median
and of the slowest request in both, the difference of the slowest from the median at hand, how many answers were marked
degraded, and the seconds from Redis' return to the first answer that is not.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from benchmarks.generated_bundle import item_id, write_generated_bundle
from benchmarks.server_process import serving
from tests.faults import Fault, dead, full, late, locked_out, silent
from tests.servers import start_valkey
from tests.slow_proxy import slow_proxy

USERS = 50
LATE = 0.5
FAULTS: dict[str, Fault] = {
    "dead": dead,
    "silent": silent,
    "slow": late(LATE),
    "wrong_password": locked_out,
    "full": full,
}


def timed(client: httpx.Client, requests: int) -> tuple[list[float], int]:
    """Milliseconds of each request, and how many answers were marked degraded."""
    milliseconds, degraded = [], 0
    for number in range(requests):
        started = time.perf_counter()
        response = client.get(f"/recommend/user-{number % USERS}")
        milliseconds.append((time.perf_counter() - started) * 1e3)
        degraded += bool(response.raise_for_status().json()["degraded"])
    return milliseconds, degraded


def measure(client: httpx.Client, fault: AbstractContextManager[None], requests: int) -> dict[str, float]:
    """One fault beside the time before it."""
    there, _ = timed(client, requests)
    with fault:
        away, degraded = timed(client, requests)
    returned = time.perf_counter()
    while timed(client, 1)[1]:
        time.sleep(0.02)
    caught_up = time.perf_counter() - returned
    return {
        "there_median_ms": round(statistics.median(there), 1),
        "there_max_ms": round(max(there), 1),
        "away_median_ms": round(statistics.median(away), 1),
        "away_max_ms": round(max(away), 1),
        "slower_at_most_ms": round(max(away) - statistics.median(there), 1),
        "degraded_share": degraded / requests,
        "caught_up_s": round(caught_up, 2),
    }


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=200, help="with and without each fault")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = write_generated_bundle(folder / "bundle", arguments.items, seed=0)
        (folder / "valkey").mkdir()
        with start_valkey(folder / "valkey") as valkey, slow_proxy(valkey.port) as proxy:
            settings = {"MACREC_BUNDLE": str(bundle), "REDIS_URL": proxy.url}
            with (
                serving(folder / "server", settings) as server,
                httpx.Client(base_url=server.url, timeout=30) as client,
            ):
                events = [
                    {"user_id": f"user-{user}", "item_id": item_id(user * 7 + step), "event_id": f"{user}-{step}"}
                    for user in range(USERS)
                    for step in range(10)
                ]
                client.post("/events", json={"events": events}).raise_for_status()
                timed(client, arguments.requests)
                for kind, fault in FAULTS.items():
                    found = measure(client, fault(valkey, proxy), arguments.requests)
                    sys.stdout.write(json.dumps({"benchmark": "redis_away", "fault": kind, **found}) + "\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
