"""Announcements of releases, waiting for them, and what is kept of releases and chunks in Redis."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from model.redis_store import CHANNEL, CHUNK, RELEASES
from model.registry import open_registry
from model.release import Release
from tests.servers import Valkey, start_valkey
from tests.tiny_bundles import save_catalog


@contextmanager
def soon(action: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Does something a moment later in another thread, and has it done when the block ends."""
    timer = threading.Timer(0.1, action, arguments)
    timer.start()
    yield
    timer.join()


def test_a_release_and_a_rollback_are_announced(valkey: Valkey, old: Path, new: Path) -> None:
    with Redis.from_url(valkey.url) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(CHANNEL)
        channel.get_message(timeout=5)
        with closing(open_registry(valkey.url)) as registry:
            said = [registry.publish(old), registry.publish(new), registry.publish(new), registry.rollback()]
        heard = [channel.get_message(timeout=5) for _ in range(3)]
        assert channel.get_message(timeout=0.05) is None, "what changes nothing is not announced"
    assert [Release.parse(message["data"]) for message in heard if message] == [said[0], said[1], said[3]]


def test_waiting_ends_with_an_announcement_with_the_time_or_with_the_registry(
    valkey: Valkey, old: Path, new: Path
) -> None:
    with closing(open_registry(valkey.url)) as registry, closing(open_registry(valkey.url)) as publisher:
        registry.wait(0.05)
        started = time.monotonic()
        with soon(publisher.publish, old):
            registry.wait(30)
        with soon(registry.close):
            registry.wait(30)
        assert time.monotonic() - started < 20


def test_waiting_goes_on_through_a_restart_of_redis(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server, closing(open_registry(server.url)) as registry:
        registry.wait(0.1)
        server.kill()
        registry.wait(0.1)
        registry.wait(0.1)
        server.start()
        registry.wait(0.1)
        with closing(open_registry(server.url)) as publisher:
            started = time.monotonic()
            with soon(publisher.publish, old):
                registry.wait(30)
            assert time.monotonic() - started < 20


def test_the_list_of_releases_does_not_grow_without_end(valkey: Valkey, old: Path, new: Path) -> None:
    with closing(open_registry(valkey.url)) as registry, Redis.from_url(valkey.url) as client:
        releases = [registry.publish(old), registry.publish(new)]
        for number in range(120):
            assert registry._store.release(releases[number % 2], {}, [], releases[(number + 1) % 2])
        assert client.llen(RELEASES) == 100
        assert registry.current() == releases[1]


def test_what_two_catalogs_have_in_common_is_stored_once(valkey: Valkey, tmp_path: Path) -> None:
    with closing(open_registry(valkey.url)) as registry, Redis.from_url(valkey.url) as client:
        registry.publish(catalog=save_catalog(tmp_path / "one", seed=1))
        first = len(list(client.scan_iter(f"{CHUNK}*")))
        registry.publish(catalog=save_catalog(tmp_path / "two", seed=2))
        both = len(list(client.scan_iter(f"{CHUNK}*")))
    assert both < 2 * first, "the ids and the metadata are the same"
