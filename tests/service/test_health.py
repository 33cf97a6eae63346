"""Probes, /info, /metrics and the documentation."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import STAGES
from tests.bundles import ITEMS, SPACE_HASH, item_id, write_int8_bundle
from tests.serving import Start, metric, service_of, until


def test_a_service_without_bundle_lives_and_is_not_ready(start: Start, tmp_path: Path) -> None:
    client = start(wait=False, bundle=tmp_path)
    until(lambda: service_of(client).failure is not None)
    assert client.get("/livez").text == "ok"
    for response in (client.get("/readyz"), client.get("/info"), client.post("/recommend", json={"history": []})):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert response.json()["type"] == "urn:macrec:problem:starting"
        assert "is no bundle" in response.json()["detail"]
    assert client.get("/metrics").status_code == 200


def test_a_ready_service_says_what_it_serves(start: Start) -> None:
    client = start(beam=33)
    info = client.get("/info").json()
    assert client.get("/readyz").json() == {"ready": True, "catalog_version": info["catalog_version"]}
    assert info["catalog_items"] == ITEMS
    assert info["catalog_source"] == "bundle"
    assert info["modalities"] == ["text", "image"]
    assert (info["levels"], info["codes"], info["space_hash"]) == (3, 16, SPACE_HASH)
    assert (info["provider"], info["captured_graphs"]) == ("CPUExecutionProvider", 0)
    assert info["metrics"] == {"hr@10": 0.25}
    assert info["beam"] == 33
    assert info["degraded"] == []


def test_a_service_searches_in_the_precision_that_it_was_told(start: Start, bundle: Path, tmp_path: Path) -> None:
    fast = write_int8_bundle(bundle, tmp_path / "int8")
    assert start(bundle=fast).get("/info").json()["precision"] == "float32"
    client = start(bundle=fast, precision="int8")
    assert client.get("/info").json()["precision"] == "int8"
    answer = client.post("/recommend", json={"history": [item_id(3), item_id(1), item_id(4)], "k": 5})
    assert len(answer.json()["items"]) == 5


def test_a_bundle_without_eight_bits_is_not_served_in_them(start: Start) -> None:
    client = start(wait=False, precision="int8")
    until(lambda: service_of(client).failure is not None)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "MACREC_PRECISION=float32" in response.json()["detail"]


def test_a_draining_service_is_live_and_not_ready(start: Start) -> None:
    client = start()
    service_of(client).scheduler.draining = True
    assert client.get("/livez").status_code == 200
    for response in (client.get("/readyz"), client.post("/recommend", json={"history": []})):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert response.json()["type"] == "urn:macrec:problem:draining"


def test_every_metric_is_there_before_the_first_request_and_parses(start: Start) -> None:
    text = start().get("/metrics").text
    families = {family.name for family in text_string_to_metric_families(text)}
    own = {name for name in families if name.startswith("macrec_")}
    assert own == {
        "macrec_stage_seconds",
        "macrec_requests",
        "macrec_queued_requests",
        "macrec_in_flight_searches",
        "macrec_rejected",
        "macrec_expired",
        "macrec_abandoned",
        "macrec_unknown_items",
        "macrec_fallbacks",
        "macrec_filters",
        "macrec_filter_cache_bytes",
        "macrec_blended",
        "macrec_new_items_recommended",
        "macrec_batch_rows",
        "macrec_events",
        "macrec_ignored_events",
        "macrec_deleted_users",
        "macrec_store_write_seconds",
        "macrec_failed_writes",
        "macrec_history_states",
        "macrec_history_state_bytes",
        "macrec_captured_graphs",
        "macrec_merged_searches",
        "macrec_history_users",
        "macrec_history_file_bytes",
        "macrec_history_compactions",
        "macrec_live_changes",
        "macrec_live_apply_seconds",
        "macrec_live_sequence",
        "macrec_live_items",
        "macrec_item_writes",
        "macrec_catalog_swaps",
        "macrec_degraded",
        "macrec_catalog_items",
        "macrec_catalog_age_seconds",
        "macrec_serving_info",
    }


def test_a_recommendation_is_counted_in_every_stage(start: Start) -> None:
    client = start(slo=0.042)
    client.post("/recommend", json={"history": [item_id(1), "unknown"]}).raise_for_status()
    client.post("/recommend", json={"history": [], "filter": {"category": "toys"}}).raise_for_status()
    for stage in STAGES:
        expected = 1 if stage in ("filter", "search", "fuse") else 2
        assert metric(client, f'macrec_stage_seconds_count{{stage="{stage}"}}') == expected
    assert metric(client, 'macrec_stage_seconds_bucket{le="0.042",stage="total"}') >= 0
    assert metric(client, "macrec_unknown_items_total") == 1
    assert metric(client, "macrec_fallbacks_total") == 1
    assert metric(client, "macrec_catalog_items") == ITEMS
    assert metric(client, 'macrec_requests_total{method="POST",route="/recommend",status="200"}') == 2


def test_labels_hold_routes_and_never_paths(start: Start) -> None:
    client = start()
    client.get("/recommend/secret-user")
    client.get("/items/secret-item")
    client.get("/secret-path")
    text = client.get("/metrics").text
    assert "secret" not in text
    for route in ("/recommend/{user_id:path}", "/items/{item_id:path}", "unmatched"):
        assert f'route="{route}"' in text


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_documentation_is_served(start: Start, path: str) -> None:
    assert start(wait=False).get(path).status_code == 200


def test_the_documentation_shows_problems_as_problem_details(start: Start) -> None:
    paths = start(wait=False).get("/openapi.json").json()["paths"]
    assert set(paths["/recommend"]["post"]["responses"]["429"]["content"]) == {"application/problem+json"}
