"""Two real servers and a real Valkey: what one is told both serve, and nothing acknowledged is ever lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.replicas import Replica
from tests.servers import Valkey, start_valkey
from tests.serving import until


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with start_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def replicas(valkey: Valkey, live_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    folder = tmp_path_factory.mktemp("replicas")
    made = [Replica(folder / name, MACREC_BUNDLE=str(live_bundle), REDIS_URL=valkey.url) for name in ("a", "b")]
    try:
        for replica in made:
            replica.start()
        yield made
    finally:
        for replica in made:
            replica.kill()


def test_an_item_put_on_one_replica_is_recommended_on_both(replicas: list[Replica]) -> None:
    first, second = replicas
    put = first.put("shared", 1).raise_for_status().json()
    assert put["visible"]
    assert "shared" in first.recommended()
    until(lambda: second.reached(put["sequence"]), 10)
    assert "shared" in second.recommended()
    assert first.codes("shared") == second.codes("shared")
    assert first.catalog()["catalog_version"] == second.catalog()["catalog_version"]
    again = second.put("shared", 1).json()
    assert (again["changed"], again["sequence"], again["semantic_ids"]) == (False, put["sequence"], put["semantic_ids"])


def test_a_deleted_or_hidden_item_vanishes_on_both(replicas: list[Replica]) -> None:
    first, second = replicas
    for item in ("gone", "hidden"):
        first.put(item, 2).raise_for_status()
    until(lambda: {"gone", "hidden"} <= second.recommended(), 10)
    httpx.delete(f"{second.url}/items/gone").raise_for_status()
    hidden = httpx.put(f"{second.url}/items/hidden/availability", json={"available": False}).raise_for_status()
    until(lambda: first.reached(hidden.json()["sequence"]), 10)
    for replica in replicas:
        assert not {"gone", "hidden"} & replica.recommended()
        assert httpx.get(f"{replica.url}/items/gone").status_code == 404


def test_alike_items_put_on_both_at_once_never_get_one_leaf_twice(replicas: list[Replica]) -> None:
    """All are told of with the same words, so all would like the same leaf, and crowd the ones around it."""

    def write(writer: int) -> list[tuple[int, ...]]:
        codes = []
        for number in range(12):
            put = replicas[writer].put(f"alike-{writer}-{number}", 7, title="Alike").raise_for_status().json()
            codes.append(tuple(put["semantic_ids"]["text"]))
        return codes

    with ThreadPoolExecutor(2) as pool:
        codes = [each for written in pool.map(write, range(2)) for each in written]
    assert len(set(codes)) == 24
    latest = max(replica.catalog()["sequence"] for replica in replicas)
    until(lambda: all(replica.reached(latest) for replica in replicas), 10)
    for item in [f"alike-{writer}-{number}" for writer in range(2) for number in range(12)]:
        assert replicas[0].codes(item) == replicas[1].codes(item)


def test_without_valkey_reads_go_on_marked_and_writes_are_503_and_nothing_acknowledged_is_lost(
    replicas: list[Replica], valkey: Valkey
) -> None:
    first, second = replicas
    acknowledged = [f"kept-{number}" for number in range(3)]
    for number, item in enumerate(acknowledged):
        first.put(item, 30 + number).raise_for_status()
    valkey.kill()
    refused = first.put("lost", 40)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json()["type"] == "urn:macrec:problem:live-log-unavailable"
    assert httpx.delete(f"{first.url}/items/base-3").status_code == 503
    until(lambda: "live" in first.catalog()["degraded"], 10)
    answer = httpx.post(f"{first.url}/recommend", json={"history": ["base-1"]}, timeout=30)
    assert answer.status_code == 200
    assert "live" in answer.json()["degraded"]
    valkey.start()
    until(lambda: not any(replica.catalog()["degraded"] for replica in replicas), 10)
    until(lambda: set(acknowledged) <= second.recommended(), 10)
    assert first.put("lost", 40).status_code == 200


def test_a_killed_server_catches_up_and_deleted_items_never_come_back(replicas: list[Replica]) -> None:
    first, second = replicas
    put = first.put("before", 50).raise_for_status().json()
    until(lambda: second.reached(put["sequence"]), 10)
    second.kill()
    httpx.delete(f"{first.url}/items/before").raise_for_status()
    first.put("meanwhile", 51).raise_for_status()
    second.start()
    for replica in replicas:
        there = replica.recommended()
        assert "meanwhile" in there
        assert "before" not in there
    assert first.codes("meanwhile") == second.codes("meanwhile")
    assert first.recommended("before") == second.recommended("before"), "a deleted item still counts in histories"
    first.kill()
    put = second.put("while one is dead", 52).raise_for_status().json()
    first.start()
    assert "while one is dead" in first.recommended()
