"""Request ids, the body limit and logs."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from service.logs import JsonFormatter
from tests.serving import Start

LIMIT = 2_000


def test_a_request_id_is_echoed_and_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    client = start()
    formatter = JsonFormatter()
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(formatter.format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("service.access")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO):
            response = client.get("/recommend/ann?k=2", headers={"X-Request-ID": "order-66"})
    finally:
        logger.removeHandler(handler)
    assert response.headers["X-Request-ID"] == "order-66"
    [line] = map(json.loads, lines)
    assert line["request_id"] == "order-66"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/recommend/{user_id:path}", 200)
    assert line["milliseconds"] > 0
    assert "ann" not in json.dumps(line), "logs name routes, not users"


@pytest.mark.parametrize("given", ["", "x" * 129, "tab\there"])
def test_an_id_that_is_unfit_for_a_log_is_replaced(start: Start, given: str) -> None:
    client = start(wait=False)
    first, second = (client.get("/livez", headers={"X-Request-ID": given}).headers["X-Request-ID"] for _ in range(2))
    assert first != given
    assert len(first) == len(second) == 32
    assert first != second


def test_a_body_over_the_limit_is_a_413_declared_or_not(start: Start) -> None:
    client = start(wait=False, max_body=LIMIT)

    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield b" " * (LIMIT // 4)

    headers = {"content-type": "application/json"}
    for content in (b" " * (LIMIT + 1), chunks()):
        response = client.post("/recommend", content=content, headers=headers)
        assert response.status_code == 413
        assert response.json()["type"] == "urn:macrec:problem:body-too-large"


def test_a_body_at_the_limit_passes(start: Start) -> None:
    body = json.dumps({"history": []}).encode()
    assert start(max_body=len(body)).post("/recommend", content=body).status_code in (200, 422)


def test_a_log_line_holds_the_trace_of_an_error() -> None:
    try:
        int("broken")
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    assert "ValueError: invalid literal" in json.loads(JsonFormatter().format(record))["exception"]
