"""What a folder keeps and what it lets go."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model.folder_store import FolderStore
from model.registry import open_registry


def test_what_a_killed_writer_left_in_a_folder_is_garbage(old: Path, tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry")
    registry.publish(old)
    half = tmp_path / "registry" / "chunks" / f".{'a' * 64}.1.partial"
    half.write_bytes(b"half a chunk")
    long_ago = time.time() - 7200
    os.utime(half, (long_ago, long_ago))
    assert registry.collect_garbage(keep=1).chunks == 1
    assert not half.exists()


def test_garbage_may_be_collected_while_somebody_publishes(old: Path, tmp_path: Path) -> None:
    """Halves of chunks become chunks while they are looked at."""
    registry = open_registry(tmp_path / "registry")
    registry.publish(old)
    store = FolderStore(tmp_path / "registry")
    for number in range(2000):
        (tmp_path / "registry" / "chunks" / f"{number:064}").touch()
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            store.write_chunk("a" * 64, b"content")

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for _ in range(30):
                assert registry.collect_garbage(keep=1).chunks == 0
        finally:
            done.set()
        writing.result()
