"""What a crash or a broken Redis may not do: leave the pointer on something incomplete, or make anybody wait long."""

import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from model.errors import RegistryError
from model.folder_store import FolderStore
from model.redis_store import POINTER_SECONDS, RedisStore
from model.registry import Registry, open_registry
from model.release import Release
from tests.cutting_proxy import cutting_proxy
from tests.killed_publisher import CHUNK_BYTES, commands_of_a_publication, publish_and_kill, publish_elsewhere
from tests.servers import Valkey, start_valkey

PUBLISH_AND_DIE = """
import os, signal, sys
from pathlib import Path
from model import durable_files, folder_store
from model.registry import Registry

left = int(sys.argv[3])

def die_in_time(path, chunks):
    global left
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f".{path.name}.partial").write_bytes(b"half")
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    durable_files.write_durably(path, chunks)

folder_store.write_durably = die_in_time
Registry(folder_store.FolderStore(Path(sys.argv[1])), chunk_bytes=4096).publish(Path(sys.argv[2]))
print(int(sys.argv[3]) - left)
"""


def check_complete(registry: Registry, release: Release | None, into: Path) -> None:
    """Fetches everything that the pointer names; every file is verified on the way."""
    assert registry.current() == release
    assert release is not None
    into.mkdir(parents=True)
    for key in release.keys:
        registry.download(key, into / key.kind)


def test_every_connection_lost_while_publishing_leaves_the_old_release(
    valkey: Valkey, old: Path, new: Path, tmp_path: Path
) -> None:
    """The connection is cut before the 1st, 2nd, ... last command: until the very last one nothing has changed."""
    with closing(Registry(RedisStore(valkey.url, timeout=5.0), CHUNK_BYTES)) as direct:
        before = direct.publish(old)
        commands = commands_of_a_publication(valkey.port, old)
        assert commands[-2:] == [b"LINDEX", b"EVAL"]

        for allowed in range(len(commands)):
            with cutting_proxy(valkey.port, allowed) as proxy:
                publisher = Registry(RedisStore(proxy.url, timeout=5.0), CHUNK_BYTES)
                with closing(publisher), pytest.raises(RegistryError, match="does not answer"):
                    publisher.publish(new)
            check_complete(direct, before, tmp_path / f"after-{allowed}")

        check_complete(direct, direct.publish(new), tmp_path / "at-last")


def test_a_publisher_killed_at_any_command_leaves_the_old_release(
    valkey: Valkey, old: Path, new: Path, tmp_path: Path
) -> None:
    """A real process dies by SIGKILL while it waits for the server, at every command in turn; then one gets through."""
    with closing(Registry(RedisStore(valkey.url, timeout=5.0), CHUNK_BYTES)) as direct:
        before = direct.publish(old)
        last = len(commands_of_a_publication(valkey.port, old)) - 1

        for allowed in (0, 1, last // 2, last - 1, last):
            publish_and_kill(valkey.port, new, allowed)
            check_complete(direct, before, tmp_path / f"after-{allowed}")
            assert {version.space_hash for version in direct.versions()} == {"5" * 16}

        check_complete(direct, direct.publish(new), tmp_path / "at-last")


@pytest.mark.slow
def test_a_publisher_killed_at_every_single_command_leaves_the_old_release(
    valkey: Valkey, old: Path, new: Path, tmp_path: Path
) -> None:
    with closing(Registry(RedisStore(valkey.url, timeout=5.0), CHUNK_BYTES)) as direct:
        before = direct.publish(old)
        for allowed in range(len(commands_of_a_publication(valkey.port, old))):
            publish_and_kill(valkey.port, new, allowed)
            check_complete(direct, before, tmp_path / f"after-{allowed}")


def test_a_publisher_killed_while_it_writes_a_folder_leaves_the_old_release(
    old: Path, new: Path, tmp_path: Path
) -> None:
    registry = Registry(FolderStore(tmp_path / "registry"), CHUNK_BYTES)
    before = registry.publish(old)
    with publish_elsewhere(PUBLISH_AND_DIE, str(tmp_path / "elsewhere"), str(old), "1000") as publisher:
        writes = int(publisher.communicate(timeout=30)[0])

    for allowed in (0, writes // 2, writes - 3, writes - 2, writes - 1):
        with publish_elsewhere(PUBLISH_AND_DIE, str(tmp_path / "registry"), str(new), str(allowed)) as publisher:
            assert publisher.wait(timeout=30) == -signal.SIGKILL
        check_complete(registry, before, tmp_path / f"after-{allowed}")

    registry.collect_garbage(keep=1, unfinished_seconds=0)
    assert {version.space_hash for version in registry.versions()} == {"5" * 16}
    check_complete(registry, before, tmp_path / "collected")
    check_complete(registry, registry.publish(new), tmp_path / "at-last")


def test_a_server_that_was_killed_has_kept_what_was_published(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server, closing(open_registry(server.url, timeout=2.0)) as registry:
        release = registry.publish(old)
        server.kill()
        with pytest.raises(RegistryError, match="does not answer"):
            registry.current()
        server.start()
        check_complete(registry, release, tmp_path / "fetched")


def test_a_silent_server_costs_no_more_than_the_timeout(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server, closing(open_registry(server.url, timeout=0.2)) as registry:
        registry.publish(old)
        server.pause()
        with pytest.raises(RegistryError, match="Timeout"):
            registry.current()
        server.resume()


def test_looking_at_the_pointer_never_waits_as_long_as_a_chunk_may(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server, closing(open_registry(server.url, timeout=60)) as registry:
        registry.publish(old)
        server.pause()
        started = time.monotonic()
        with pytest.raises(RegistryError, match="Timeout"):
            registry.current()
        assert time.monotonic() - started < POINTER_SECONDS + 2
        server.resume()


def test_a_wrong_password_is_named_but_not_shown(old: Path, tmp_path: Path) -> None:
    with start_valkey(tmp_path, "--requirepass", "right") as server:
        with (
            closing(open_registry(f"redis://:terribly-wrong@127.0.0.1:{server.port}/0")) as registry,
            pytest.raises(RegistryError, match="password") as refused,
        ):
            registry.publish(old)
        assert "terribly-wrong" not in str(refused.value)
        with closing(open_registry(f"redis://:right@127.0.0.1:{server.port}/0")) as registry:
            assert registry.publish(old)


def test_a_full_server_refuses_the_old_release_stays_and_the_garbage_of_the_attempt_can_go(
    old: Path, new: Path, tmp_path: Path
) -> None:
    with start_valkey(tmp_path) as server, closing(open_registry(server.url)) as registry:
        release = registry.publish(old)
        with Redis.from_url(server.url) as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(RegistryError, match="memory"):
                registry.publish(new)
        check_complete(registry, release, tmp_path / "fetched")
        registry.collect_garbage(keep=1, unfinished_seconds=0)
        check_complete(registry, release, tmp_path / "collected")
