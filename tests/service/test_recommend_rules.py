"""Filters, allow lists and caps over HTTP: what is answered, what is said, and what is refused."""

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model.live_catalog import LiveCatalog
from service import answer as answer_module
from service import recommender
from service.schemas import RecommendRequest
from tests.bundles import ITEMS, item_id
from tests.serving import Start, metric

HISTORY = [item_id(3), item_id(4)]
CHEAP = {"attribute": "price", "max": 9}


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/recommend", json={"history": HISTORY, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_a_filter_leaves_exactly_the_items_that_it_allows(start: Start) -> None:
    client = start()
    answer = ask(client, k=20, filter=CHEAP, exclude=[item_id(0)])
    assert set(ids(answer)) == {item_id(item) for item in range(10)} - {item_id(0), *HISTORY}
    assert answer["note"] == "7 of 20 items: the filter and the exclusions leave no more"
    assert "filter" in answer["timings_ms"]
    assert ids(ask(client, k=7, filter={"not": {"not": CHEAP}}, exclude=[item_id(0)])) == ids(answer)[:7]


def test_equal_filters_are_worked_out_once(start: Start) -> None:
    client = start()
    for rule in (CHEAP, {"all": [CHEAP, CHEAP]}, {"any": [CHEAP]}):
        ask(client, filter=rule)
    assert metric(client, 'macrec_filters_total{result="miss"}') == 1
    assert metric(client, 'macrec_filters_total{result="hit"}') == 2
    assert metric(client, "macrec_filter_cache_bytes") > ITEMS


def test_an_allow_list_is_all_that_comes_back_and_unknown_ids_are_counted(start: Start) -> None:
    client = start()
    allow = [item_id(item) for item in (3, 8, 9, 10, 40)]
    answer = ask(client, k=10, allow=[*allow, "nobody", allow[1]], filter=CHEAP)
    assert set(ids(answer)) == {item_id(8), item_id(9)}
    assert answer["unknown_allowed"] == 1
    assert answer["note"] == "2 of 10 items: the allow list, the filter and the exclusions leave no more"
    assert ids(ask(client, allow=[])) == []


def test_a_hundred_thousand_allowed_ids_fit(start: Start) -> None:
    allow = [f"{number:036d}" for number in range(99_999)]
    answer = ask(start(), allow=[*allow, item_id(5)])
    assert (ids(answer), answer["unknown_allowed"]) == ([item_id(5)], 99_999)


def test_caps_count_over_the_whole_answer(start: Start) -> None:
    client = start()
    answer = ask(client, k=10, max_per={"category": 2})
    assert len(ids(answer)) == 2
    assert answer["note"] == f"2 of 10 items: max_per lets no other of {ITEMS - 2} items pass"
    first = ask(client, k=10, max_per_prefix={"text": {"depth": 1, "items": 1}})
    codes = [client.get(f"/items/{item}").json()["semantic_ids"]["text"][0] for item in ids(first)]
    assert len(codes) == len(set(codes)) == 10


def test_the_note_does_not_say_that_nothing_is_left_where_the_searches_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(beam=2, k=2, blend_below=0)
    monkeypatch.setattr(recommender, "MAX_ROUNDS", 1)
    cap = {"image": {"depth": 1, "items": 1}}
    answer = ask(client, k=14, weights={"image": 0}, max_per_prefix=cap)
    assert len(ids(answer)) < 14
    assert "searches found no more" in answer["note"]


def test_rules_are_checked_by_a_worker_and_not_where_all_requests_pass(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def watched(request: RecommendRequest, catalog: LiveCatalog) -> list[str]:
        threads.append(threading.current_thread().name)
        return real(request, catalog)

    real = answer_module.check_rules
    monkeypatch.setattr(answer_module, "check_rules", watched)
    ask(start(), filter=CHEAP)
    assert [name.split("_")[0] for name in threads] == ["search"]


def test_popular_items_keep_the_rules_too(start: Start) -> None:
    answer = ask(start(), history=[], k=3, filter={"attribute": "price", "min": 5}, exclude=[item_id(6)])
    assert ids(answer) == [item_id(5), item_id(7), item_id(8)]
    assert {item["source"] for item in answer["items"]} == {"popular"}


def test_a_category_in_the_query_is_a_filter(start: Start) -> None:
    client = start()
    assert len(ids(client.get("/recommend/ann?category=toys&category=games&k=4").json())) == 4
    answer = client.get("/recommend/ann?category=toy").json()
    assert ids(answer) == []
    assert "no item has category 'toy'; did you mean 'toys'?" in answer["note"]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"filter": {"attribute": "prize", "min": 1}}, "body.filter.attribute", "did you mean 'price'?"),
        (
            {"filter": {"all": [{"attribute": "price", "equals": "1"}]}},
            "body.filter.all.0.equals",
            "'price' has numbers as values, not strings",
        ),
        ({"filter": {"any": [{"category": "toys"}, {"brand": "x"}]}}, "body.filter.any.1", "a filter is"),
        ({"filter": {"category": "toys", "x": 1}}, "body.filter.x", "Extra inputs"),
        ({"filter": {"attribute": "price", "min": "1"}}, "body.filter.min", "valid number"),
        ({"allow": ["a"] * 100_001}, "body.allow", "at most 100000"),
        ({"max_per": {"categry": 2}}, "body.max_per.categry", "did you mean 'category'?"),
        ({"max_per": {"category": 0}}, "body.max_per.category", "greater than or equal to 1"),
        ({"max_per_prefix": {"sound": {"depth": 1, "items": 1}}}, "body.max_per_prefix.sound", "no such modality"),
        ({"max_per_prefix": {"text": {"depth": 4, "items": 1}}}, "body.max_per_prefix.text.depth", "has 3 codes"),
    ],
)
def test_a_bad_rule_is_a_422_that_names_the_field_and_what_exists(
    start: Start, body: dict[str, Any], field: str, message: str
) -> None:
    response = start().post("/recommend", json={"history": HISTORY, **body})
    assert response.status_code == 422
    error = response.json()["errors"][0]
    assert error["field"] == field
    assert message in error["message"]


def test_the_documentation_shows_examples_of_filters(start: Start) -> None:
    schemas = start().get("/openapi.json").json()["components"]["schemas"]
    assert {"category": "shoes"} in schemas["Filter"]["examples"]
