"""The live log in a file survives killed writers, rewrites and a full disk."""

import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from model.errors import LiveLogError
from model.live_file import LOCK_FILE, LOG_FILE, FileLog
from model.live_log import Written, read_all
from tests.live_logs import SPACE, put
from tests.servers import spawn


def test_a_line_that_a_killed_writer_left_unfinished_is_dropped(tmp_path: Path) -> None:
    put(FileLog(tmp_path), "a", [b"\1\1"])
    whole = (tmp_path / LOG_FILE).read_bytes()
    for torn in (whole[:-1], whole[:10], b"{"):
        (tmp_path / LOG_FILE).write_bytes(whole + torn)
        assert FileLog(tmp_path).sequence() == 1
    assert put(FileLog(tmp_path), "b", [b"\1\1", b"\1\2"]).codes == b"\1\2"
    assert FileLog(tmp_path).sequence() == 2


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    put(FileLog(tmp_path), "a")
    (tmp_path / LOG_FILE).write_bytes(b"{}\n")
    with pytest.raises(LiveLogError, match="damaged at byte 0"):
        FileLog(tmp_path).sequence()


WRITER = """
import sys
from pathlib import Path
from model.item_inputs import ItemInputs
from model.live_file import FileLog
from model.live_log import Claim, Leaves, Upsert
log = FileLog(Path(sys.argv[1]))
for number in range(100_000):
    leaf = number.to_bytes(4, "big")
    claim = Claim(f"item-{number}", "space", [Leaves(iter([leaf]), leaf)])
    [written] = log.upsert([Upsert(claim, ItemInputs(title="x" * 500), None)], 0)
    sys.stdout.write(f"{written.sequence}\\n")
    sys.stdout.flush()
"""


def test_what_a_killed_writer_was_told_is_in_the_file(tmp_path: Path) -> None:
    log = tmp_path / "out"
    process = spawn([sys.executable, "-c", WRITER, str(tmp_path / "state")], log, cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 30
    while log.read_bytes().count(b"\n") < 20:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    acknowledged = int(log.read_text().split("\n")[-2])
    sequence, items = read_all(FileLog(tmp_path / "state"), 0, SPACE)
    assert sequence >= acknowledged
    assert len(items) == sequence


def test_a_new_file_is_durable_with_its_name_before_anybody_hears_of_it(tmp_path: Path, synced: list[int]) -> None:
    state = tmp_path / "state"
    put(FileLog(state), "a")
    assert {path.stat().st_ino for path in (tmp_path, state, state / LOG_FILE)} <= set(synced)
    synced.clear()
    put(FileLog(state), "b", [b"\2\2"])
    assert state.stat().st_ino in synced, "whoever made the file may have been killed before it was"


def test_a_file_that_is_moved_away_begins_anew(tmp_path: Path) -> None:
    log, reader = FileLog(tmp_path), FileLog(tmp_path)
    put(log, "a")
    assert reader.sequence() == 1
    (tmp_path / LOG_FILE).rename(tmp_path / "old")
    assert reader.changes(1, SPACE).lost
    assert put(log, "b") == Written(1, True, b"\1\1")
    assert [item.item_id for item in FileLog(tmp_path).changes(0, SPACE).items] == ["b"]
    assert [item.item_id for item in reader.changes(0, SPACE).items] == ["b"]


def test_a_reader_that_slept_through_two_trims_reads_on(tmp_path: Path) -> None:
    """A file system gives the number of a file that is gone to the next one."""
    log, reader = FileLog(tmp_path), FileLog(tmp_path)
    for number in range(9):
        put(log, "a", title=f"{number}")
    assert reader.sequence() == 9
    for number in range(20):
        log.trim(0)
        log.trim(0)
        put(log, f"item-{number}", [bytes([2, number])], title="x" * 90)
        assert [item.item_id for item in reader.changes(9 + number, SPACE).items] == [f"item-{number}"]


def test_a_file_of_replaced_lines_is_written_anew(tmp_path: Path) -> None:
    log, reader = FileLog(tmp_path, spare_bytes=1000), FileLog(tmp_path)
    for number in range(100):
        put(log, "a", title=f"{number}")
        assert reader.sequence() == number + 1
    assert (tmp_path / LOG_FILE).read_bytes().count(b"\n") < 20
    assert [path.name for path in sorted(tmp_path.iterdir())] == [LOG_FILE, LOCK_FILE]


def test_a_file_that_cannot_be_written_anew_takes_changes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, chunks: Iterable[bytes]) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("model.live_file.write_durably", refuse)
    log = FileLog(tmp_path, spare_bytes=1000)
    for number in range(50):
        assert put(log, "a", title=f"{number}").sequence == number + 1
    assert FileLog(tmp_path).sequence() == 50
    assert 1 <= len(caplog.records) < 20
