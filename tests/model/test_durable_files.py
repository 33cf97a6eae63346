"""Files that are there as a whole or not at all, with names that survive a power cut."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model.durable_files import make_folder, named_errors, write_durably
from model.errors import RegistryError


def test_writers_of_one_file_at_once_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    """As processes of two containers do, which may have one number and share a folder."""
    path = tmp_path / "file"
    contents = [bytes([65 + number]) * 20_000 for number in range(4)]

    def write(content: bytes) -> None:
        for _ in range(25):
            write_durably(path, [content[:100], content[100:]])
            assert path.read_bytes() in contents

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, contents))
    assert list(tmp_path.iterdir()) == [path]


def test_the_names_of_new_folders_are_made_durable(tmp_path: Path, synced: list[int]) -> None:
    write_durably(tmp_path / "a" / "b" / "file", [b"content"])
    assert {path.stat().st_ino for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")} <= set(synced)
    synced.clear()
    make_folder(tmp_path / "a" / "b")
    assert synced == []


def test_a_writer_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, [b"old"])

    def chunks() -> list[bytes]:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_durably(path, (chunk for _ in range(2) for chunk in chunks()))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_disk_refuses_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RegistryError, match=r"the folder cannot be used: .*missing"),
        named_errors(RegistryError, "the folder"),
    ):
        (tmp_path / "missing").stat()
