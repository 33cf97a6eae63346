"""Memory, a file that is opened again and again, and a real Valkey agree with a naive model, whatever happens."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis

from service.file_store import FileStore
from service.memory_store import MemoryStore
from service.metrics import Metrics
from service.redis_store import RedisHistories, Waits
from service.store import HistoryLimits, HistoryStore, StoredEvent
from tests.servers import Valkey, start_valkey

T = TypeVar("T")
USERS = ("ann", "bob")
LIMITS = HistoryLimits(history=4, remembered=3)

events = st.builds(
    StoredEvent,
    user_id=st.sampled_from(USERS),
    item_id=st.sampled_from("xyz"),
    timestamp=st.sampled_from([0.0, 0.1, 1.0, 1.5, 2.0, 1e9, 1e9 + 1e-6]),
    event_id=st.sampled_from([f"e{number}" for number in range(15)]),
)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with start_valkey(tmp_path_factory.mktemp("valkey"), "--appendonly", "no") as server:
        yield server


class NaiveModel:
    """All events of a user, sorted anew each time."""

    def __init__(self) -> None:
        self.users: dict[str, list[tuple[float, str, str]]] = {}

    def append(self, event: StoredEvent) -> int:
        known = self.users.get(event.user_id, [])
        if event.event_id in [event_id for _, event_id, _ in known]:
            return 0
        entry = (event.timestamp, event.event_id, event.item_id)
        self.users[event.user_id] = sorted([*known, entry])[-LIMITS.window :]
        return int(entry in self.users[event.user_id])

    def read(self, user: str) -> list[str]:
        return [item for _, _, item in self.users.get(user, [])][-LIMITS.history :]

    def delete(self, user: str) -> int:
        return len(self.users.pop(user, []))


class Agreement(RuleBasedStateMachine):
    """The same events go to every store and to the model."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        with Redis.from_url(self.url) as client:
            client.flushall()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.model = NaiveModel()
        waits = Waits(step=5.0, read=5.0, write=5.0, pool=5.0)
        self.file = self.open_file()
        self.others: list[HistoryStore] = [MemoryStore(LIMITS), RedisHistories(self.url, LIMITS, waits, connections=2)]

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def open_file(self) -> FileStore:
        store = FileStore(self.folder, LIMITS, Metrics(0.1), spare=5)
        self.run(store.open())
        return store

    @property
    def stores(self) -> list[HistoryStore]:
        return [self.file, *self.others]

    @rule(batch=st.lists(events, min_size=1, max_size=6))
    def append(self, batch: list[StoredEvent]) -> None:
        expected = sum(self.model.append(event) for event in batch)
        assert [self.run(store.append(batch)) for store in self.stores] == [expected] * 3

    @rule(user=st.sampled_from(USERS))
    def delete(self, user: str) -> None:
        expected = self.model.delete(user)
        assert [self.run(store.delete(user)) for store in self.stores] == [expected] * 3

    @rule(batch=st.lists(events, max_size=3), user=st.sampled_from(USERS), more=st.lists(events, max_size=3))
    @precondition(lambda self: self.model.users)
    def write_at_once(self, batch: list[StoredEvent], user: str, more: list[StoredEvent]) -> None:
        expected = [sum(map(self.model.append, batch)), self.model.delete(user), sum(map(self.model.append, more))]

        async def together() -> tuple[int, int, int]:
            return await asyncio.gather(self.file.append(batch), self.file.delete(user), self.file.append(more))

        assert list(self.run(together())) == expected
        for store in self.others:
            for write in (store.append(batch), store.delete(user), store.append(more)):
                self.run(write)

    @rule()
    def reopen(self) -> None:
        self.run(self.file.close())
        self.file = self.open_file()

    @invariant()
    def all_agree(self) -> None:
        for user in USERS:
            expected = self.model.read(user)
            assert [self.run(store.read(user)) for store in self.stores] == [expected] * 3

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.close())
        self.loop.close()
        shutil.rmtree(self.folder)


def test_every_store_agrees_with_the_naive_model(valkey: Valkey) -> None:
    class Machine(Agreement):
        url = valkey.url

    config = settings(
        max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(Machine, settings=config)
