"""Whatever is sent, the service does not fail: every answer is below 500 and has one of the known shapes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from service.app import create_app
from service.settings import Settings
from tests.bundles import ITEMS, item_id
from tests.filters import filters
from tests.serving import wait_until_ready

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
ids = st.sampled_from([item_id(item) for item in range(ITEMS)]) | st.text(max_size=20)
nearly_right = st.fixed_dictionaries(
    {},
    optional={
        "user_id": ids | anything,
        "history": st.lists(ids, max_size=30) | anything,
        "k": st.integers(-1, 300) | anything,
        "beam": st.integers(-1, 300) | anything,
        "weights": st.dictionaries(st.sampled_from(["text", "image", "x"]), st.floats() | st.integers(0, 3)) | anything,
        "exclude": st.lists(ids, max_size=80) | anything,
        "exclude_seen": st.booleans() | anything,
        "timeout": st.floats(1, 9) | anything,
        "filter": filters | anything,
        "allow": st.lists(ids, max_size=80) | anything,
        "max_per": st.dictionaries(st.sampled_from(["category", "price", "x"]), st.integers(0, 3)) | anything,
        "max_per_prefix": st.fixed_dictionaries(
            {}, optional={"text": st.fixed_dictionaries({"depth": st.integers(0, 5), "items": st.integers(0, 3)})}
        )
        | anything,
    },
)
nearly_events = st.fixed_dictionaries(
    {},
    optional={"user_id": ids, "item_id": ids, "timestamp": st.floats() | anything, "event_id": ids | anything},
)


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with TestClient(
        create_app(Settings(bundle=bundle, deadline=30, redis_url=None, state=None)), raise_server_exceptions=False
    ) as client:
        wait_until_ready(client)
        yield client


def send(client: TestClient, path: str, body: Any) -> Any:
    """Posts a body as it is, NaN and lone surrogates included, and checks the answer's form."""
    response = client.post(path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code
    return response


@settings(max_examples=300, deadline=None)
@given(body=nearly_right | anything)
def test_recommend_never_fails(client: TestClient, body: Any) -> None:
    response = send(client, "/recommend", body)
    if response.status_code == 200:
        answer = response.json()
        assert len(answer["items"]) <= (body.get("k") or 10)
        assert not {item["id"] for item in answer["items"]} & set(body.get("exclude", []))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(nearly_right | anything, min_size=1, max_size=4))
def test_a_batch_never_fails_and_has_an_answer_for_every_row(client: TestClient, rows: list[Any]) -> None:
    response = send(client, "/recommend/batch", {"requests": rows})
    if response.status_code == 200:
        answers = response.json()["answers"]
        assert len(answers) == len(rows)
        assert all(answer.get("status", 200) < 500 for answer in answers)


@settings(max_examples=150, deadline=None)
@given(body=nearly_events | st.fixed_dictionaries({"events": st.lists(nearly_events, max_size=3)}) | anything)
def test_events_never_fails(client: TestClient, body: Any) -> None:
    send(client, "/events", body)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200))
def test_bytes_never_make_it_fail(client: TestClient, content: bytes) -> None:
    for path in ("/recommend", "/events"):
        response = client.post(path, content=content, headers={"content-type": "application/json"})
        assert response.status_code in (400, 422)


@settings(max_examples=150, deadline=None)
@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
    query=st.text(st.characters(codec="utf-8"), max_size=10),
)
def test_paths_and_queries_never_make_it_fail(client: TestClient, name: str, query: str) -> None:
    for route in ("recommend", "items"):
        response = client.get(f"/{route}/{_quoted(name)}", params={"k": query})
        assert response.status_code in (200, 404, 422), response.text


def _quoted(name: str) -> str:
    """A name as it stands in a path."""
    return "".join(f"%{byte:02X}" for byte in name.encode())
