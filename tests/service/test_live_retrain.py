"""A retrained model of another ID space takes over while two real servers on a real Valkey are written to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from model.bundle import Bundle
from tests.replicas import Replica
from tests.servers import start_valkey
from tests.serving import until
from training.__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture
def replicas(live_bundle: Path, tmp_path: Path) -> Iterator[list[Replica]]:
    """Two servers that know nothing but Redis, where the first bundle is published."""
    (tmp_path / "valkey").mkdir()
    with start_valkey(tmp_path / "valkey") as valkey:
        assert main(["publish", "--bundle", str(live_bundle), "--redis", valkey.url]) == 0
        made = [Replica(tmp_path / name, MACREC_BUNDLE="", REDIS_URL=valkey.url) for name in ("a", "b")]
        try:
            for replica in made:
                replica.start()
            yield made
        finally:
            for replica in made:
                replica.kill()


def test_no_live_item_is_lost_by_a_retrain(replicas: list[Replica], retrained_bundle: Path) -> None:
    first, second = replicas
    url = first.variables["REDIS_URL"]
    for number in range(6):
        first.put(f"early-{number}", number).raise_for_status()
    httpx.delete(f"{second.url}/items/early-0").raise_for_status()
    httpx.delete(f"{first.url}/items/base-2").raise_for_status()
    httpx.put(f"{first.url}/items/early-1/availability", json={"available": False}).raise_for_status()
    first.put("base-4", 60, title="renamed").raise_for_status()

    def keep_writing() -> list[str]:
        items = [f"meanwhile-{number}" for number in range(12)]
        for number, item in enumerate(items):
            replicas[number % 2].put(item, 20 + number).raise_for_status()
            if number % 4 == 3:
                httpx.delete(f"{second.url}/items/{items[number - 1]}").raise_for_status()
                hidden = f"{first.url}/items/{item}/availability"
                httpx.put(hidden, json={"available": False}).raise_for_status()
        return items

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(keep_writing)
        assert main(["publish", "--bundle", str(retrained_bundle), "--redis", url]) == 0
        meanwhile = writing.result()
    space = Bundle.load(retrained_bundle).manifest.space_hash
    until(lambda: all(replica.catalog()["space_hash"] == space for replica in replicas), 60)
    last = first.put("late", 50).raise_for_status().json()
    until(lambda: all(replica.reached(last["sequence"]) for replica in replicas), 30)
    kept = {f"base-{number}" for number in range(15)} - {"base-2"}
    there = [item for number, item in enumerate(meanwhile) if number % 4 in (0, 1)]
    live = {f"early-{number}" for number in range(2, 6)} | set(there) | {"late"}
    for replica in replicas:
        assert replica.recommended("never heard of") == kept | live
        assert replica.recommended() == (kept | live) - {"base-1"}
        assert httpx.get(f"{replica.url}/items/base-4").json()["title"] == "renamed"
        for number, item in enumerate(["early-0", "early-1", *meanwhile]):
            answer = httpx.get(f"{replica.url}/items/{item}")
            assert answer.status_code == (404 if number % 4 == 0 else 200)
            assert number % 4 == 0 or answer.json()["available"] == (number % 4 != 1)
        assert replica.catalog()["degraded"] == []
    for item in live:
        assert first.codes(item) == second.codes(item)
    assert main(["compact", "--redis", url]) == 0
    until(lambda: all(replica.catalog()["base_sequence"] == last["sequence"] for replica in replicas), 60)
    after = first.put("after", 51).raise_for_status().json()
    until(lambda: second.reached(after["sequence"]), 30)
    assert second.recommended() == (kept | live) - {"base-1"} | {"after"}
