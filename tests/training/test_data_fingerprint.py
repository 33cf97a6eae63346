import os
import shutil
from pathlib import Path

import pytest

from training.data_fingerprint import data_fingerprint


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "items.jsonl").write_text("one\ntwo\n")
    (folder / "images" / "a.png").write_bytes(b"picture")
    return folder


def test_a_copy_with_other_times_has_the_same_fingerprint(data: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(data, tmp_path / "copy"))
    os.utime(copied / "items.jsonl", ns=(1, 1))
    assert data_fingerprint(copied, tmp_path / "b.json") == data_fingerprint(data, tmp_path / "a.json")


@pytest.mark.parametrize("change", ["content", "name", "more", "less"])
def test_any_change_of_contents_or_names_gives_another(data: Path, tmp_path: Path, change: str) -> None:
    cache = tmp_path / "cache.json"
    before = data_fingerprint(data, cache)
    match change:
        case "content":
            (data / "items.jsonl").write_text("one\ntow\n")
        case "name":
            (data / "images" / "a.png").rename(data / "images" / "b.png")
        case "more":
            (data / "new").touch()
        case "less":
            (data / "images" / "a.png").unlink()
    assert data_fingerprint(data, cache) != before


def test_contents_are_read_once(data: Path, tmp_path: Path) -> None:
    """A file of the same size and time is taken from the cache, whatever it holds: so it was not read."""
    cache, path = tmp_path / "cache.json", data / "items.jsonl"
    before, times = data_fingerprint(data, cache), path.stat()
    path.write_text("one\ntow\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert data_fingerprint(data, cache) == before
    cache.unlink()
    assert data_fingerprint(data, cache) != before


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"items.jsonl": 3}', b'{"items.jsonl": [1]}', b"\xff"])
def test_a_damaged_cache_is_made_anew(data: Path, tmp_path: Path, damage: bytes) -> None:
    cache = tmp_path / "cache.json"
    before = data_fingerprint(data, cache)
    whole = cache.read_bytes()
    cache.write_bytes(damage)
    assert data_fingerprint(data, cache) == before
    assert cache.read_bytes() == whole
