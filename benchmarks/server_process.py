"""A service in a process of its own, for benchmarks that look at it from outside."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.servers import free_port, spawn


class ServerProcess(NamedTuple):
    """A running service.

    Attributes:
        url: where it listens.
        pid: its process.
        ready_seconds: from its start to its readiness.
    """

    url: str
    pid: int
    ready_seconds: float


@contextmanager
def serving(folder: Path, settings: Mapping[str, str], patience: float = 600.0) -> Iterator[ServerProcess]:
    """A service with ``settings``, ready; it writes its log and its cache into ``folder``, which is made.

    Raises:
        TimeoutError: if it is not ready after ``patience`` seconds, with its log.
    """
    folder.mkdir()
    port = free_port()
    common = {
        "MACREC_CATALOG_CACHE": str(folder / "cache"),
        "MACREC_LOG_LEVEL": "WARNING",
        "MACREC_PORT": str(port),
        "MACREC_WORKERS": "1",
    }
    started = time.monotonic()
    process = spawn([sys.executable, "-m", "service"], folder / "service.log", env={**os.environ, **common, **settings})
    try:
        url = f"http://127.0.0.1:{port}"
        while not _is_ready(url):
            if time.monotonic() > started + patience or process.poll() is not None:
                raise TimeoutError((folder / "service.log").read_text())
            time.sleep(0.02)
        yield ServerProcess(url, process.pid, time.monotonic() - started)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False
