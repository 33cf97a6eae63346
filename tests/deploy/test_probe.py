"""The health check says yes to 200 and to nothing else."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.deploy.tools import ROOT
from tests.servers import free_port


class Handler(BaseHTTPRequestHandler):
    """Answers /livez with 200 and everything else with 503."""

    def do_GET(self) -> None:
        """Answers."""
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server's port."""
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def probe(path: str, port: int) -> int:
    """The exit status of the health check, run as the image runs it, with a proxy that it must not use."""
    environment = {**os.environ, "MACREC_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run([sys.executable, "deploy/probe.py", path], cwd=ROOT, env=environment, check=False).returncode


def test_a_live_service_is_healthy(port: int) -> None:
    assert probe("/livez", port) == 0


def test_a_service_that_is_not_ready_is_not(port: int) -> None:
    assert probe("/readyz", port) == 1


def test_a_dead_service_is_not() -> None:
    assert probe("/livez", free_port()) == 1
