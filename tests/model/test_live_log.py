"""The live log keeps the same promises in Redis, in a file and in memory."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from model.errors import LiveLogError
from model.item_inputs import ItemInputs
from model.live_file import LOCK_FILE, LOG_FILE, FileLog
from model.live_log import Claim, Leaves, LiveLog, Standing, Upsert, Written, read_all
from model.live_memory import MemoryLog
from model.live_redis import RedisLog
from tests.servers import Valkey, spawn, start_valkey

SPACE = "space"
Open = Callable[[], LiveLog]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with start_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(params=["memory", "file", "redis"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the log as one more process does; in memory there is only one."""
    if request.param == "memory":
        only = MemoryLog()
        return lambda: only
    if request.param == "file":
        return lambda: FileLog(tmp_path / "state")
    server = request.getfixturevalue("valkey")
    with Redis.from_url(server.url) as client:
        client.flushall()
    return lambda: RedisLog(server.url, 2.0)


def claim(item: str, *free: list[bytes], shared: bytes = b"\0\0", space: str = SPACE) -> Claim:
    """A claim that offers ``free`` leaves in each modality."""
    return Claim(item, space, [Leaves(iter(leaves), shared) for leaves in free or ([b"\1\1"],)])


def put(log: LiveLog, item: str, *free: list[bytes], title: str = "", standing: Standing | None = None) -> Written:
    inputs = ItemInputs(title=title or f"Title of {item}")
    [written] = log.upsert([Upsert(claim(item, *free), inputs, standing)], floor=0)
    return written


def test_changes_are_numbered_and_read_in_order(open_log: Open) -> None:
    log = open_log()
    assert (log.sequence(), log.changes(0, SPACE).items) == (0, [])
    assert put(log, "a", [b"\1\1"], [b"\2\2"]) == Written(1, True, b"\1\1\2\2")
    assert put(log, "b", [b"\1\2"], [b"\2\3"]).sequence == 2
    changes = open_log().changes(0, SPACE)
    assert changes.sequence == 2
    assert [(item.item_id, item.codes) for item in changes.items] == [("a", b"\1\1\2\2"), ("b", b"\1\2\2\3")]
    assert changes.items[0].metadata == {"title": "Title of a"}
    assert [item.item_id for item in log.changes(1, SPACE).items] == ["b"]
    assert log.changes(2, SPACE).items == []


def test_an_item_takes_the_first_leaf_that_nobody_took(open_log: Open) -> None:
    log = open_log()
    put(log, "a", [b"\1\1"])
    assert put(open_log(), "b", [b"\1\1", b"\1\2", b"\1\3"]).codes == b"\1\2"


def test_far_offers_are_read_and_at_last_the_leaf_is_shared(open_log: Open) -> None:
    log = open_log()
    leaves = [bytes([n // 256, n % 256]) for n in range(600)]
    log.upsert([Upsert(claim(str(n), [leaf]), ItemInputs(), None) for n, leaf in enumerate(leaves[:599])], 0)
    assert put(log, "far", leaves).codes == leaves[599]
    assert put(log, "full", leaves, [b"\7\7"]).codes == b"\0\0\7\7"
    assert put(log, "nothing on offer", []).codes == b"\0\0"


def test_the_same_upsert_again_changes_nothing(open_log: Open) -> None:
    log = open_log()
    first = put(log, "a", [b"\1\1"])
    put(log, "b", [b"\1\2"])
    again = put(open_log(), "a", [b"\5\5"])
    assert again == Written(first.sequence, False, first.codes)
    assert log.sequence() == 2


def test_other_content_is_a_change_that_keeps_the_codes(open_log: Open) -> None:
    log = open_log()
    put(log, "a", [b"\1\1"])
    assert put(log, "a", [b"\6\6"], title="new") == Written(2, True, b"\1\1")
    [item] = log.changes(0, SPACE).items
    assert (item.metadata, item.codes, item.sequence) == ({"title": "new"}, b"\1\1", 2)
    assert log.inputs(["a", "b"]) == [ItemInputs(title="new"), None]


def test_a_deleted_item_keeps_its_leaf_and_comes_back_with_it(open_log: Open) -> None:
    log = open_log()
    put(log, "a", [b"\1\1"])
    assert log.mark("a", "delete", None, 0) == Written(2, True)
    assert log.mark("a", "delete", None, 0) == Written(2, False)
    assert log.mark("a", "hide", None, 0) is None
    [item] = open_log().changes(0, SPACE).items
    assert (item.deleted, item.metadata, item.codes) == (True, None, b"\1\1")
    assert log.inputs(["a"]) == [None]
    assert put(log, "b", [b"\1\1", b"\1\2"]).codes == b"\1\2"
    assert put(log, "a", [b"\6\6"]) == Written(4, True, b"\1\1")
    assert not log.changes(3, SPACE).items[0].deleted


def test_availability_outlives_an_upsert_but_not_a_deletion(open_log: Open) -> None:
    log = open_log()

    def available() -> bool:
        [item] = log.changes(0, SPACE).items
        return item.available

    put(log, "a")
    assert log.mark("a", "hide", None, 0) == Written(2, True)
    assert log.mark("a", "hide", None, 0) == Written(2, False)
    put(log, "a", title="new")
    assert not available()
    log.mark("a", "delete", None, 0)
    put(log, "a")
    assert available()


def test_items_of_the_writers_catalog_can_be_marked_and_unknown_ones_cannot(open_log: Open) -> None:
    log = open_log()
    assert log.mark("a", "hide", None, 0) is None
    assert log.mark("a", "hide", Standing(available=False), 0) == Written(0, False)
    assert log.mark("a", "delete", Standing(deleted=True), 0) == Written(0, False)
    assert log.mark("a", "show", Standing(available=False), 0) == Written(1, True)
    [item] = log.changes(0, SPACE).items
    assert (item.item_id, item.available, item.metadata, item.codes) == ("a", True, None, None)
    put(log, "b", standing=Standing(available=False))
    assert not log.changes(1, SPACE).items[0].available


def test_codes_of_another_id_space_are_claimed_without_a_change(open_log: Open) -> None:
    log = open_log()
    put(log, "a", [b"\1\1"])
    put(log, "b", [b"\1\2"])
    wanted = [claim("a", [b"\3\3"], space="other"), claim("b", [b"\3\3", b"\3\4"], space="other")]
    assert log.claim(wanted) == [b"\3\3", b"\3\4"]
    assert open_log().claim([claim("a", [b"\6\6"], space="other")]) == [b"\3\3"]
    assert log.sequence() == 2
    assert [item.codes for item in open_log().changes(0, "other").items] == [b"\3\3", b"\3\4"]
    assert [item.codes for item in log.changes(0, SPACE).items] == [b"\1\1", b"\1\2"]


def test_after_a_trim_readers_still_get_everything(open_log: Open) -> None:
    log = open_log()
    for number in range(5):
        put(log, f"item-{number % 3}", [bytes([1, number])], title=f"{number}")
    log.mark("item-0", "delete", None, 0)
    late = open_log()
    log.trim(4)
    for reader in (late, open_log()):
        for after, expected in ((0, 3), (2, 3), (4, 2), (5, 1), (6, 0)):
            sequence, items = read_all(reader, after, SPACE)
            assert (sequence, len(items)) == (6, expected)
    put(log, "item-3", [b"\6\6"])
    assert [item.item_id for item in late.changes(6, SPACE).items] == ["item-3"]


def test_a_reader_that_knows_more_than_the_log_is_told(open_log: Open) -> None:
    log = open_log()
    put(log, "a")
    assert log.changes(5, SPACE).lost
    assert not log.changes(1, SPACE).lost
    [written] = log.upsert([Upsert(claim("b", [b"\2\2"]), ItemInputs(), None)], floor=5)
    assert written.sequence == 6


def test_a_reader_that_waits_hears_of_a_change_at_once(open_log: Open) -> None:
    log, reader = open_log(), open_log()
    put(log, "a")
    started = time.monotonic()
    assert reader.changes(1, SPACE, wait=0.2).items == []
    assert 0.15 < time.monotonic() - started < 1
    threading.Timer(0.1, lambda: put(log, "b", [b"\2\2"])).start()
    started = time.monotonic()
    assert [item.item_id for item in reader.changes(1, SPACE, wait=5).items] == ["b"]
    assert time.monotonic() - started < 2


def test_any_text_is_an_id(open_log: Open) -> None:
    log = open_log()
    names = ["a/b c", "ä €", "} {", "0 - 0 1", "x" * 512]
    for number, name in enumerate(names):
        put(log, name, [bytes([7, number])])
    assert [item.item_id for item in open_log().changes(0, SPACE).items] == names


def test_everything_that_an_item_may_say_comes_back(open_log: Open) -> None:
    log = open_log()
    inputs = ItemInputs(
        title="Tür",
        text="two\nlines",
        category=("a", "b"),
        price=0.1,
        attributes={"size": 4.5, "new": True, "tags": ["x"], "name": "y"},
        image=bytes(range(256)),
        embeddings={"text": (0.1, -2.5)},
    )
    log.upsert([Upsert(claim("a"), inputs, None)], 0)
    assert open_log().inputs(["a"]) == [inputs]
    metadata = open_log().changes(0, SPACE).items[0].metadata
    assert metadata == {
        "title": "Tür",
        "text": "two\nlines",
        "category": ["a", "b"],
        "price": 0.1,
        "attributes": {"size": 4.5, "new": True, "tags": ["x"], "name": "y"},
    }


def test_writers_at_once_never_get_one_leaf_twice(open_log: Open) -> None:
    leaves = [bytes([3, number]) for number in range(200)]

    def write(writer: int) -> list[bytes]:
        log = open_log()
        return [put(log, f"{writer}-{number}", leaves).codes for number in range(40)]

    with ThreadPoolExecutor(5) as pool:
        codes = [code for written in pool.map(write, range(5)) for code in written]
    assert sorted(codes) == leaves
    sequence, items = read_all(open_log(), 0, SPACE)
    assert (sequence, len(items)) == (200, 200)


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


def test_a_server_that_is_killed_or_silent_is_an_error_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server:
        log = RedisLog(server.url, 0.3)
        put(log, "a", [b"\1\1"])
        server.pause()
        started = time.monotonic()
        with pytest.raises(LiveLogError):
            put(log, "b", [b"\1\2"])
        assert time.monotonic() - started < 1
        server.kill()
        with pytest.raises(LiveLogError):
            log.changes(0, SPACE)
        server.start()
        assert put(log, "a", [b"\6\6"]) == Written(1, False, b"\1\1")
        assert put(log, "c", [b"\1\1", b"\1\3"]).codes == b"\1\3"
        log.close()


def test_a_server_that_refuses_writes_is_an_error(tmp_path: Path) -> None:
    with start_valkey(tmp_path, "--maxmemory", "1", "--maxmemory-policy", "noeviction") as server:
        log = RedisLog(server.url, 1.0)
        with pytest.raises(LiveLogError, match="maxmemory"):
            put(log, "a")
        log.close()


def test_the_last_word_on_an_item_is_the_last_however_far_its_leaf_is(open_log: Open) -> None:
    log = open_log()
    crowd = [bytes([1, number]) for number in range(40)]
    log.upsert([Upsert(claim(str(n), [leaf]), ItemInputs(), None) for n, leaf in enumerate(crowd)], 0)
    words = [("first", [*crowd, b"\5\5"]), ("last", [b"\6\6"])]
    written = log.upsert([Upsert(claim("a", leaves), ItemInputs(title=title), None) for title, leaves in words], 0)
    assert [each.sequence for each in written] == [41, 42]
    [item] = log.changes(40, SPACE).items
    assert item.metadata == {"title": "last"}


def test_codes_of_an_item_that_never_changed_hide_no_change(open_log: Open) -> None:
    log = open_log()
    put(log, "a", [b"\1\1"])
    assert log.claim([claim("only claimed", [b"\2\2"])]) == [b"\2\2"]
    for reader in (log, open_log()):
        assert [item.item_id for item in reader.changes(0, SPACE).items] == ["a"]
    assert log.mark("only claimed", "hide", None, 0) is None
    assert put(log, "only claimed", [b"\3\3"], standing=Standing(available=False)).codes == b"\2\2"
    assert not log.changes(1, SPACE).items[0].available


def test_an_item_with_nothing_on_offer_costs_one_round_trip(valkey: Valkey) -> None:
    """As every item of the catalog below, which has its codes already."""
    log = RedisLog(valkey.url, 2.0)
    with Redis.from_url(valkey.url) as client:
        client.flushall()
        put(log, "a", [])
        client.config_resetstat()
        assert put(log, "b", []).codes == b"\0\0"
        calls: Any = client.info("commandstats")
    assert calls["cmdstat_evalsha"]["calls"] == 1


def test_a_wait_may_be_longer_than_the_timeout(valkey: Valkey) -> None:
    log = RedisLog(valkey.url, 0.2)
    after = log.sequence()
    assert log.changes(after, SPACE, wait=2.0).items == []


def test_the_stream_does_not_grow_without_end_and_readers_still_get_everything(valkey: Valkey) -> None:
    with Redis.from_url(valkey.url) as client:
        client.flushall()
        log = RedisLog(valkey.url, 2.0, kept_changes=100)
        for _ in range(4):
            log.upsert([Upsert(claim(str(n), [bytes([1, n])]), ItemInputs(), None) for n in range(150)], 0)
            for number in range(150):
                log.mark(str(number), "delete", None, 0)
        kept: Any = client.xlen("macrec:{live}:log")
    assert log.sequence() == 1200
    assert 100 <= kept <= 300
    assert len(read_all(log, 0, SPACE)[1]) == 150


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


def test_a_reader_is_told_of_a_loss_even_if_the_log_has_gone_on_meanwhile(valkey: Valkey) -> None:
    """A server that came back with less is written to before this reader looks, by one who had read as far."""
    reader, log = RedisLog(valkey.url, 2.0), RedisLog(valkey.url, 2.0)
    with Redis.from_url(valkey.url) as client:
        client.flushall()
        for number in range(3):
            put(log, f"item-{number}", [bytes([1, number])])
        assert not reader.changes(2, SPACE).lost
        client.flushall()
    log.upsert([Upsert(claim("after", [b"\5\5"]), ItemInputs(), None)], floor=3)
    changes = reader.changes(3, SPACE)
    assert changes.lost
    assert [item.item_id for item in changes.items] == ["after"]
    assert not reader.changes(4, SPACE).lost
    assert not reader.changes(0, SPACE).lost
