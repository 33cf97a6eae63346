"""POST and GET /recommend: one test per promise and per status."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.bundles import ITEMS, item_id, write_reweighted_bundle
from tests.serving import metric

Start = Callable[..., TestClient]
HISTORY = [item_id(3), item_id(4), item_id(5)]


def recommend(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_an_answer_holds_k_ranked_items_with_metadata_and_versions(start: Start) -> None:
    client = start()
    answer = recommend(client, history=HISTORY, k=5)
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5]
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(ids(answer))) == 5
    first = answer["items"][0]
    assert first["source"] == "generated"
    assert first["title"].startswith("Title ")
    assert first["metadata"]["category"] == ["toys"]
    assert set(first["ranks"]) <= {"text", "image"}
    assert answer["degraded"] == []
    assert answer["unknown_items"] == 0
    assert answer["note"] is None
    info = client.get("/info").json()
    assert (answer["catalog_version"], answer["model_version"]) == (info["catalog_version"], info["model_version"])


def test_timings_name_every_stage_in_the_body_and_in_the_header(start: Start) -> None:
    response = start().post("/recommend", json={"history": HISTORY})
    stages = {"store", "queue", "prepare", "search", "fuse", "total"}
    assert set(response.json()["timings_ms"]) == stages
    assert {part.split(";")[0] for part in response.headers["Server-Timing"].split(", ")} == stages


def test_seen_items_are_left_out_unless_asked_for(start: Start) -> None:
    client = start()
    everything = recommend(client, history=HISTORY, k=ITEMS, exclude_seen=False)
    assert set(ids(everything)) == {item_id(item) for item in range(ITEMS)}
    unseen = recommend(client, history=HISTORY, k=ITEMS)
    assert set(ids(unseen)) == {item_id(item) for item in range(ITEMS)} - set(HISTORY)
    assert unseen["note"] == f"{ITEMS - 3} of {ITEMS} items: the rest of the catalog is excluded"


def test_excluded_items_never_come_back_and_k_others_do(start: Start) -> None:
    client = start()
    before = ids(recommend(client, history=HISTORY, k=10))
    after = ids(recommend(client, history=HISTORY, k=10, exclude=[*before[:4], "never heard of"]))
    assert len(after) == 10
    assert not set(after) & set(before[:4])


def test_an_item_whose_leaf_it_shares_can_be_excluded_alone(start: Start) -> None:
    client = start()
    found = ids(recommend(client, history=HISTORY, k=ITEMS, exclude=[item_id(0)], weights={"image": 0}))
    assert item_id(0) not in found
    assert item_id(1) in found


def test_history_beyond_the_models_length_still_counts_as_seen(start: Start) -> None:
    client = start()
    history = [item_id(item) for item in range(20)]
    assert not set(ids(recommend(client, history=history, k=40))) & set(history)


def test_only_the_latest_items_steer_the_search(start: Start) -> None:
    client = start()
    latest = [item_id(item) for item in range(5, 10)]
    long = recommend(client, history=[item_id(30), *latest], exclude_seen=False)
    assert ids(long) == ids(recommend(client, history=latest, exclude_seen=False))


def test_unknown_items_are_skipped_and_counted(start: Start) -> None:
    client = start()
    answer = recommend(client, history=["x", *HISTORY, "y"])
    assert answer["unknown_items"] == 2
    assert ids(answer) == ids(recommend(client, history=HISTORY))


@pytest.mark.parametrize("history", [[], ["unknown", "also unknown"]])
def test_without_a_known_history_the_popular_items_come_marked(start: Start, history: list[str]) -> None:
    answer = recommend(start(), history=history, k=3, exclude=[item_id(1)])
    assert ids(answer) == [item_id(0), item_id(2), item_id(3)]
    assert {item["source"] for item in answer["items"]} == {"popular"}
    total = ITEMS * (ITEMS + 1) / 2
    assert answer["items"][0]["score"] == pytest.approx(ITEMS / total)
    assert answer["unknown_items"] == len(history)


def test_a_modality_without_weight_is_not_searched(start: Start) -> None:
    client = start()
    text_only = recommend(client, history=HISTORY, weights={"image": 0})
    assert all(set(item["ranks"]) == {"text"} for item in text_only["items"])
    image_only = recommend(client, history=HISTORY, weights={"text": 0, "image": 3})
    assert all(set(item["ranks"]) == {"image"} for item in image_only["items"])


def test_the_servers_weights_hold_where_a_request_gives_none(start: Start) -> None:
    client = start(weights={"image": 0.0})
    assert all(set(item["ranks"]) == {"text"} for item in recommend(client, history=HISTORY)["items"])
    both = recommend(client, history=HISTORY, k=ITEMS, weights={"image": 1})
    assert {modality for item in both["items"] for modality in item["ranks"]} == {"text", "image"}


def test_the_bundles_weights_hold_where_nobody_gives_any(start: Start, bundle: Path, tmp_path: Path) -> None:
    weighted = write_reweighted_bundle(bundle, tmp_path / "weighted", {"text": 2.0, "image": 0.0})
    client = start(bundle=weighted)
    assert all(set(item["ranks"]) == {"text"} for item in recommend(client, history=HISTORY)["items"])
    image = recommend(client, history=HISTORY, weights={"image": 1, "text": 0})
    assert all(set(item["ranks"]) == {"image"} for item in image["items"])
    other_rule = start(bundle=weighted, fusion={"rule": "bonus"})
    assert all(set(item["ranks"]) == {"text"} for item in recommend(other_rule, history=HISTORY)["items"])
    own_weights = start(bundle=weighted, weights={"image": 1.0})
    both = recommend(own_weights, history=HISTORY, k=ITEMS)["items"]
    assert {modality for item in both for modality in item["ranks"]} == {"text", "image"}


def test_a_stored_history_answers_like_the_same_history_given(start: Start) -> None:
    client = start()
    events = [{"user_id": "ann", "item_id": item, "timestamp": number} for number, item in enumerate(HISTORY)]
    client.post("/events", json={"events": events}).raise_for_status()
    given = ids(recommend(client, history=HISTORY))
    assert ids(recommend(client, user_id="ann")) == given
    assert ids(client.get("/recommend/ann").json()) == given
    assert ids(client.get("/recommend/ann?k=3&beam=50").json()) == ids(recommend(client, history=HISTORY, k=3, beam=50))


def test_a_given_history_follows_the_stored_one(start: Start) -> None:
    client = start()
    client.post("/events", json={"user_id": "ann", "item_id": HISTORY[0]}).raise_for_status()
    merged = recommend(client, user_id="ann", history=HISTORY[1:])
    assert ids(merged) == ids(recommend(client, history=HISTORY))


def test_what_is_stored_and_given_too_counts_once_and_as_the_latest(start: Start) -> None:
    client = start()
    stored = [HISTORY[2], HISTORY[0], item_id(9), item_id(9)]
    events = [{"user_id": "ann", "item_id": item, "timestamp": number} for number, item in enumerate(stored)]
    client.post("/events", json={"events": events}).raise_for_status()
    merged = recommend(client, user_id="ann", history=HISTORY)
    assert ids(merged) == ids(recommend(client, history=[item_id(9), item_id(9), *HISTORY]))
    given = [HISTORY[0], HISTORY[0], HISTORY[1]]
    merged = recommend(client, user_id="ann", history=given)
    assert ids(merged) == ids(recommend(client, history=[HISTORY[2], item_id(9), item_id(9), *given]))


@pytest.mark.parametrize(
    ("history", "sources"),
    [
        ([], "pppppp"),
        ([item_id(3)], "gppgpp"),
        ([item_id(3), "unknown", item_id(3)], "gppgpp"),
        ([item_id(3), item_id(4)], "ggpggp"),
        (HISTORY, "gggggg"),
    ],
)
def test_with_few_known_items_popular_ones_are_mixed_in_and_marked(
    start: Start, history: list[str], sources: str
) -> None:
    client = start()
    excluded = [item_id(0), item_id(5)]
    answer = recommend(client, history=history, k=6, exclude=excluded)
    assert "".join(item["source"][0] for item in answer["items"]) == sources
    assert len(set(ids(answer))) == 6
    assert not set(ids(answer)) & {*excluded, *history}
    pure = recommend(start(blend_below=0), history=history, k=6, exclude=excluded)
    own = [item["id"] for item in answer["items"] if item["source"] == "generated"]
    assert own == [item for item in ids(pure) if item in own]
    assert metric(client, "macrec_blended_total") == (set(sources) == {"g", "p"})


def test_a_blended_answer_holds_all_there_is(start: Start) -> None:
    answer = recommend(start(), history=[item_id(3)], k=ITEMS)
    assert set(ids(answer)) == {item_id(item) for item in range(ITEMS)} - {item_id(3)}


def test_a_user_nobody_knows_gets_popular_items(start: Start) -> None:
    client = start()
    assert {item["source"] for item in client.get("/recommend/nobody").json()["items"]} == {"popular"}
    assert client.get("/recommend/with/a/slash").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_id"),
        ({"history": "x"}, "body.history"),
        ({"history": [], "k": 0}, "body.k"),
        ({"history": [], "k": 201}, "body.k"),
        ({"history": [], "beam": 201}, "body.beam"),
        ({"history": [], "unheard_of": 1}, "body.unheard_of"),
        ({"history": [""]}, "body.history.0"),
        ({"history": [], "weights": {"sound": 1}}, "body.weights.sound"),
        ({"history": [], "weights": {"text": -1}}, "body.weights.text"),
        ({"history": [], "weights": {"text": 0, "image": 0}}, "body.weights"),
        ({"history": [], "timeout": 0}, "body.timeout"),
    ],
)
def test_a_bad_body_is_a_422_that_names_the_field(start: Start, body: dict[str, Any], field: str) -> None:
    response = start().post("/recommend", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == "urn:macrec:problem:invalid-request"
    assert field in problem["detail"]


def test_a_bad_query_is_a_422(start: Start) -> None:
    response = start().get("/recommend/ann?k=many")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "query.k"


def test_the_beam_is_at_least_k(start: Start) -> None:
    client = start(beam=1)
    assert len(recommend(client, history=HISTORY, k=30)["items"]) == 30
