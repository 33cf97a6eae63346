"""A publisher that runs in a process of its own and is killed in the middle of a publication."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from model.redis_store import RedisStore
from model.registry import Registry
from tests.cutting_proxy import cutting_proxy

CHUNK_BYTES = 4096

PUBLISH = f"""
import sys
from pathlib import Path
from model.redis_store import RedisStore
from model.registry import Registry
Registry(RedisStore(sys.argv[1], 5.0), chunk_bytes={CHUNK_BYTES}).publish(Path(sys.argv[2]))
"""


def commands_of_a_publication(port: int, bundle: Path) -> list[bytes]:
    """Publishes a bundle to the Redis at ``port``; returns the names of the commands in their order."""
    with cutting_proxy(port, allowed=10_000) as proxy:
        with closing(Registry(RedisStore(proxy.url, timeout=5.0), CHUNK_BYTES)) as publisher:
            publisher.publish(bundle)
        return proxy.passed


def publish_and_kill(port: int, bundle: Path, allowed: int) -> None:
    """Kills a publisher by SIGKILL while it waits for the answer to a command after ``allowed`` others."""
    with cutting_proxy(port, allowed, hang_up=False) as proxy:
        publisher = publish_elsewhere(PUBLISH, proxy.url, str(bundle))
        assert proxy.cut.wait(timeout=30)
        publisher.kill()
        publisher.communicate(timeout=10)
    assert publisher.returncode == -signal.SIGKILL


def publish_elsewhere(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Runs a program that publishes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment, stdout=subprocess.PIPE)
