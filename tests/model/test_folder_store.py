"""What a folder keeps and what it lets go."""

import os
import time
from pathlib import Path

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
