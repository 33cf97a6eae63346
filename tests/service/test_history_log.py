"""The file of histories: what was written comes back, a torn end is cut off, and damage is named."""

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import DataError
from service.history_log import HEADER, Group, HistoryLog
from service.store import Deletion, StoredEvent

text = st.text(st.characters(codec="utf-8"), max_size=8)
changes = st.builds(StoredEvent, text, text, st.floats(0, 1e12), text) | st.builds(Deletion, text)
groups = st.lists(st.builds(Group, st.floats(0, 1e12), st.lists(changes, min_size=1, max_size=3)), max_size=5)

ONE = Group(1.0, [StoredEvent("ann", "a", 1.5, "e1")])
TWO = Group(2.0, [StoredEvent("ann", "b\n", 2.5, "e2"), Deletion("bob")])


def read(path: Path) -> list[Group]:
    found: list[Group] = []
    log = HistoryLog(path)
    log.open(found.append)
    assert log.size == path.stat().st_size
    assert log.changes == sum(len(group.changes) for group in found)
    log.close()
    return found


def write(path: Path, *written: Group) -> None:
    log = HistoryLog(path)
    log.open(lambda _: None)
    for group in written:
        log.append(group)
    log.close()


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes; a write takes what fits and then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@settings(deadline=None)
@given(written=groups)
def test_groups_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, written: list[Group]) -> None:
    path = tmp_path_factory.mktemp("log") / "histories.log"
    write(path, *written)
    assert read(path) == written


def test_wherever_a_crash_cuts_the_last_line_the_others_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "histories.log"
    write(path, ONE)
    whole = path.stat().st_size
    write(path, TWO)
    content = path.read_bytes()
    for length in range(whole + 1, len(content)):
        path.write_bytes(content[:length])
        with caplog.at_level(logging.WARNING):
            assert read(path) == [ONE]
        assert "dropped the last line" in caplog.text
        caplog.clear()
        write(path, TWO)
        assert read(path) == [ONE, TWO]


def test_a_last_line_whose_pages_never_reached_the_disk_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "histories.log"
    write(path, ONE, TWO)
    content = bytearray(path.read_bytes())
    content[-20:-5] = bytes(15)
    path.write_bytes(content)
    assert read(path) == [ONE]


def test_any_damaged_byte_before_the_last_line_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "histories.log"
    write(path, ONE)
    end = path.stat().st_size - 1
    write(path, TWO)
    content = path.read_bytes()
    for place in range(end):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        line = 1 if place < len(HEADER) else 2
        with pytest.raises(DataError, match=f"histories.log, line {line}: "):
            read(path)
        assert path.read_bytes() == damaged, "what is damaged is left to be looked at"


def test_a_write_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "histories.log"
    log = HistoryLog(path)
    log.open(lambda _: None)
    log.append(ONE)
    before = path.read_bytes()
    for room in (0, 1, 10):
        with disk_full_at(len(before) + room), pytest.raises(OSError, match="too large"):
            log.append(TWO)
        assert path.read_bytes() == before
    log.append(TWO)
    log.close()
    assert read(path) == [ONE, TWO]


def test_a_rewriting_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "histories.log"
    log = HistoryLog(path)
    log.open(lambda _: None)
    log.append(ONE)
    with disk_full_at(log.size + 1), pytest.raises(OSError, match="too large"):
        log.rewrite([ONE, TWO])
    assert [entry.name for entry in tmp_path.iterdir()] == ["histories.log"]
    log.append(TWO)
    log.rewrite([ONE])
    log.append(TWO)
    assert (log.changes, log.size) == (3, path.stat().st_size)
    log.close()
    assert read(path) == [ONE, TWO]


def test_what_a_killed_rewriting_left_is_removed(tmp_path: Path) -> None:
    left_over = tmp_path / ".histories.log.1234.partial"
    left_over.write_bytes(b"half")
    write(tmp_path / "histories.log", ONE)
    assert not left_over.exists()
