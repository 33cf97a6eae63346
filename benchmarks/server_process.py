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


class ProcessorTime(NamedTuple):
    """Seconds that a process ran since its start.

    Attributes:
        event_loop: its first thread, which does everything of HTTP.
        others: its other threads, which search.
    """

    event_loop: float
    others: float

    @classmethod
    def of(cls, pid: int) -> "ProcessorTime":
        """As Linux counts it, in hundredths of a second."""
        ticks = {task.name: _ticks(task / "stat") for task in Path(f"/proc/{pid}/task").iterdir()}
        first = ticks[str(pid)]
        second = os.sysconf("SC_CLK_TCK")
        return cls(first / second, (sum(ticks.values()) - first) / second)


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


def _ticks(stat: Path) -> int:
    """What a thread ran for itself and in the kernel; fields follow its name, which is in brackets."""
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False
