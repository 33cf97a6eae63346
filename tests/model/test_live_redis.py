"""The live log in Redis says what a server lost, refuses or leaves unanswered, and keeps its stream short."""

import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from model.errors import LiveLogError
from model.item_inputs import ItemInputs
from model.live_log import Upsert, Written, read_all
from model.live_redis import RedisLog
from tests.live_logs import SPACE, claim, put
from tests.servers import Valkey, start_valkey


def test_a_server_that_is_killed_or_silent_is_an_error_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with start_valkey(tmp_path) as server:
        log = RedisLog(server.url, 0.3)
        put(log, "a", [b"\1\1"])
        server.pause()
        started = time.monotonic()
        with pytest.raises(LiveLogError):
            put(log, "b", [b"\1\2"])
        assert time.monotonic() - started < 5
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


def test_an_item_with_nothing_on_offer_costs_one_round_trip(valkey: Valkey) -> None:
    """As every item of the catalog below, which has its codes already."""
    log = RedisLog(valkey.url, 2.0)
    with Redis.from_url(valkey.url) as client:
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
        log = RedisLog(valkey.url, 2.0, kept_changes=100)
        for _ in range(4):
            log.upsert([Upsert(claim(str(n), [bytes([1, n])]), ItemInputs(), None) for n in range(150)], 0)
            for number in range(150):
                log.mark(str(number), "delete", None, 0)
        kept: Any = client.xlen("macrec:{live}:log")
    assert log.sequence() == 1200
    assert 100 <= kept <= 300
    assert len(read_all(log, 0, SPACE)[1]) == 150


def test_a_reader_is_told_of_a_loss_even_if_the_log_has_gone_on_meanwhile(valkey: Valkey) -> None:
    """A server that came back with less is written to before this reader looks, by one who had read as far."""
    reader, log = RedisLog(valkey.url, 2.0), RedisLog(valkey.url, 2.0)
    with Redis.from_url(valkey.url) as client:
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
