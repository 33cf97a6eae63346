"""Every error has one shape, and tells nothing that it should not."""

import logging

import pytest

from service.query import Query, Recommendation
from service.recommender import Recommender
from service.snapshot import Snapshot
from tests.bundles import item_id
from tests.serving import Start, service_of


class BrokenRecommender(Recommender):
    """Fails as a bug would."""

    def recommend(self, snapshot: Snapshot, query: Query) -> Recommendation:  # noqa: ARG002
        raise ZeroDivisionError("a secret in a trace")


def test_an_unknown_path_and_a_wrong_method_are_problems(start: Start) -> None:
    client = start()
    absent = client.get("/absent")
    assert (absent.status_code, absent.json()["type"]) == (404, "urn:macrec:problem:not-found")
    wrong = client.delete("/recommend")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:macrec:problem:method-not-allowed")
    assert wrong.headers["Allow"]
    for response in (absent, wrong):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"", b"[" * 100_000, b"1" * 5_000, b'{"history": ["\\ud800"]}', b"NaN"]
)
def test_a_body_that_is_no_json_is_the_clients_fault(start: Start, body: bytes) -> None:
    response = start().post("/recommend", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_bug_is_a_500_without_a_trace_and_the_log_has_it(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    client = start()
    service = service_of(client)
    service.recommender = BrokenRecommender(max_beam=1)
    with caplog.at_level(logging.ERROR):
        response = client.post("/recommend", json={"history": [item_id(1)]}, headers={"X-Request-ID": "abc"})
    assert response.status_code == 500
    assert response.json() == {
        "type": "urn:macrec:problem:internal-error",
        "title": "The service failed",
        "status": 500,
        "detail": "an unexpected error; the log has it under this request id",
        "request_id": "abc",
    }
    assert "ZeroDivisionError" in caplog.text
