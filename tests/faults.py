"""What can become of a registry: faults of a real Valkey behind a proxy, each as a context that ends with its end."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from redis import Redis

from tests.servers import Valkey
from tests.slow_proxy import SlowProxy

Fault = Callable[[Valkey, SlowProxy], AbstractContextManager[None]]


@contextmanager
def dead(valkey: Valkey, _: SlowProxy) -> Iterator[None]:
    """Nobody listens."""
    valkey.kill()
    yield
    valkey.start()


@contextmanager
def silent(valkey: Valkey, _: SlowProxy) -> Iterator[None]:
    """Connections are accepted and stay open, and nothing is ever answered."""
    valkey.pause()
    yield
    valkey.resume()


def late(seconds: float) -> Fault:
    """Every answer comes so much later."""

    @contextmanager
    def fault(_: Valkey, proxy: SlowProxy) -> Iterator[None]:
        proxy.delay = seconds
        yield
        proxy.delay = 0.0

    return fault


def configured(name: str, value: str, back: str) -> Fault:
    """Another setting of the server, which connections that are open already find too; ``back`` restores it."""

    @contextmanager
    def fault(valkey: Valkey, _: SlowProxy) -> Iterator[None]:
        with Redis.from_url(valkey.url, single_connection_client=True) as client:
            client.config_set(name, value)
            client.execute_command("CLIENT", "KILL", "SKIPME", "yes")
            yield
            client.config_set(name, back)

    return fault


locked_out = configured("requirepass", "changed", "")
full = configured("maxmemory", "1", "0")
