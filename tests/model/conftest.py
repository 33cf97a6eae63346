"""Two tiny bundles, and a Valkey for those who leave it alive."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.servers import Valkey, start_valkey
from tests.tiny_bundles import save_bundle


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A bundle."""
    return save_bundle(tmp_path / "old", seed=1)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A bundle of another ID space."""
    return save_bundle(tmp_path / "new", seed=2, space_hash="6" * 16)


@pytest.fixture(scope="module")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One server for the tests that leave it alive."""
    with start_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """An empty server."""
    with Redis.from_url(shared_valkey.url) as client:
        client.flushall()
    return shared_valkey


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers (inodes) of the files and folders that were synced to the disk since the test began."""
    seen: list[int] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        seen.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return seen
