"""The live log keeps the same promises in Redis, in a file and in memory."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model.item_inputs import ItemInputs
from model.live_file import FileLog
from model.live_log import LiveLog, Standing, Upsert, Written, read_all
from model.live_memory import MemoryLog
from model.live_redis import RedisLog
from tests.live_logs import SPACE, claim, put

Open = Callable[[], LiveLog]


@pytest.fixture(params=["memory", "file", "redis"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the log as one more process does; in memory there is only one."""
    if request.param == "memory":
        only = MemoryLog()
        return lambda: only
    if request.param == "file":
        return lambda: FileLog(tmp_path / "state")
    server = request.getfixturevalue("valkey")
    return lambda: RedisLog(server.url, 2.0)


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
    assert 0.15 < time.monotonic() - started < 5
    threading.Timer(0.1, lambda: put(log, "b", [b"\2\2"])).start()
    started = time.monotonic()
    assert [item.item_id for item in reader.changes(1, SPACE, wait=30).items] == ["b"]
    assert time.monotonic() - started < 10


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
