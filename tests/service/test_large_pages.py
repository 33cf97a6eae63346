"""Large pages are asked for where memory is full and no file's, and nowhere else."""

import re
from pathlib import Path

import numpy as np
import pytest

from service import large_pages
from service.large_pages import AREAS, LARGE, full_areas, use_large_pages

MIB = 2**20


def area(start: int, size: int, resident: int, flags: str = "rw-p", inode: int = 0, name: str = "") -> str:
    """One area as the kernel prints it, with the lines around the one that counts."""
    return (
        f"{start:x}-{start + size:x} {flags} 00000000 00:00 {inode} {name:>20}\n"
        f"Size:           {size // 1024:>8} kB\nKernelPageSize:        4 kB\nRss:            {resident // 1024:>8} kB\n"
        f"Pss:            {resident // 1024:>8} kB\nAnonHugePages:         0 kB\nVmFlags: rd wr mr mw me ac\n"
    )


def test_whole_large_pages_of_full_areas_are_found() -> None:
    first, second, third = 16 * LARGE, 64 * LARGE + 4096, 128 * LARGE
    smaps = (
        area(first, 3 * LARGE, 3 * LARGE)
        + area(second, 3 * LARGE, 3 * LARGE - 8192, name="[heap]")
        + area(third, 2 * LARGE, 2 * LARGE, name="[anon: glibc: malloc]")
    )
    assert list(full_areas(smaps)) == [(first, 3 * LARGE), (65 * LARGE, 2 * LARGE), (third, 2 * LARGE)]


@pytest.mark.parametrize(
    "other",
    [
        area(16 * LARGE, 4 * LARGE, LARGE),
        area(16 * LARGE, 4 * LARGE, 4 * LARGE, flags="r--p"),
        area(16 * LARGE, 4 * LARGE, 4 * LARGE, inode=7, name="/srv/catalog/codes.npy"),
        area(16 * LARGE, 4 * LARGE, 4 * LARGE, name="[stack]"),
        area(16 * LARGE + 4096, LARGE, LARGE),
    ],
    ids=["a thread's stack", "not written to", "a file's", "the stack", "no whole page"],
)
def test_other_areas_are_left_as_they_are(other: str) -> None:
    assert list(full_areas(other)) == []
    assert list(full_areas(other + area(512 * LARGE, LARGE, LARGE) + other)) == [(512 * LARGE, LARGE)]


def test_what_is_in_memory_gets_them() -> None:
    array = np.ones(32 * MIB, dtype=np.uint8)
    if not use_large_pages():
        pytest.skip("this system has no large pages to give at once")
    place = array.ctypes.data + 16 * MIB
    held = next(
        int(found[3])
        for found in re.finditer(
            r"^([0-9a-f]+)-([0-9a-f]+) (?:.*\n)(?:\w+: .*\n)*?AnonHugePages: +(\d+) kB$",
            AREAS.read_text(),
            re.MULTILINE,
        )
        if int(found[1], 16) <= place < int(found[2], 16)
    )
    assert held * 1024 >= 16 * MIB
    assert array.all()


def test_a_system_that_was_told_not_to_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "enabled"
    told.write_text("always madvise [never]\n")
    monkeypatch.setattr(large_pages, "ALLOWED", told)
    assert use_large_pages() == 0


def test_a_system_that_knows_nothing_of_them_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_pages, "ALLOWED", tmp_path / "missing")
    assert use_large_pages() == 0
