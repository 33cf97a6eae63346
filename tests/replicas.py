"""Real server processes that tests can kill, and what they are asked about items."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.live_bundles import inputs_of
from tests.servers import free_port, spawn
from tests.serving import until

ROOT = Path(__file__).parents[1]
WAIT = 120.0


class Replica:
    """A server process on a port of its own."""

    def __init__(self, folder: Path, **variables: str) -> None:
        folder.mkdir()
        self._folder = folder
        self.variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MACREC_")}
        own = {"MACREC_PORT": str(port), "MACREC_STATE": "", "MACREC_WORKERS": "1", "MACREC_DEADLINE": "30"}
        own["MACREC_CATALOG_CACHE"] = str(self._folder / "cache")
        environment = {**clean, **own, **self.variables}
        self._process = spawn([sys.executable, "-m", "service"], self._folder / "log", cwd=ROOT, env=environment)
        until(self.is_ready, WAIT)

    def kill(self) -> None:
        """Kills the server without a warning; does nothing if it is dead already."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").is_success
        except httpx.TransportError:
            return False

    def put(self, item: str, number: int, **more: Any) -> httpx.Response:
        return httpx.put(f"{self.url}/items/{item}", json={**body_of(number), **more}, timeout=30)

    def catalog(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}/catalog").raise_for_status().json()
        return answer

    def codes(self, item: str) -> tuple[int, ...]:
        answer = httpx.get(f"{self.url}/items/{item}").raise_for_status().json()["semantic_ids"]
        return tuple(answer["text"] + answer["image"])

    def recommended(self, history: str = "base-1") -> set[str]:
        body = {"history": [history], "k": 200, "beam": 200}
        answer = httpx.post(f"{self.url}/recommend", json=body, timeout=30).raise_for_status().json()
        return {item["id"] for item in answer["items"]}

    def reached(self, sequence: int) -> bool:
        reached: bool = self.catalog()["sequence"] >= sequence
        return reached


def body_of(item: int) -> dict[str, Any]:
    """What is told of item ``item``, without its picture."""
    return inputs_of(item).metadata()
