import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.filters import KCore, find_repeats, k_core, time_order
from training.readers.raw import Events

Rows = list[tuple[int, int, int]]
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=40)


def events_of(rows: Rows) -> Events:
    users, items, times = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Events([str(user) for user in range(5)], users.astype(np.int32), items.astype(np.int32), times)


def rows_of(events: Events) -> Rows:
    return list(zip(events.users.tolist(), events.items.tolist(), events.timestamps.tolist(), strict=True))


@given(ROWS)
def test_time_order_keeps_the_file_order_of_ties(rows: Rows) -> None:
    assert rows_of(time_order(events_of(rows))) == sorted(rows, key=lambda row: (row[0], row[2]))


@given(ROWS)
def test_repeats_equal_a_loop_over_events(rows: Rows) -> None:
    events = time_order(events_of(rows))
    met: set[tuple[int, int]] = set()
    exact: set[tuple[int, int, int]] = set()
    duplicates, repeats = [], []
    for user, item, time in rows_of(events):
        duplicates.append((user, item, time) in exact)
        repeats.append((user, item) in met and not duplicates[-1])
        met.add((user, item))
        exact.add((user, item, time))
    found = find_repeats(events)
    assert found.duplicates.tolist() == duplicates
    assert found.repeats.tolist() == repeats


@given(ROWS, st.integers(0, 3), st.integers(0, 3))
def test_the_core_equals_removing_one_event_at_a_time(rows: Rows, per_user: int, per_item: int) -> None:
    kept = list(range(len(rows)))
    while poor := [
        row
        for row in kept
        if sum(rows[other][0] == rows[row][0] for other in kept) < per_user
        or sum(rows[other][1] == rows[row][1] for other in kept) < per_item
    ]:
        kept.remove(poor[0])
    events = events_of(rows)
    core = k_core(events.users, events.items, KCore(users=per_user, items=per_item))
    assert np.flatnonzero(core).tolist() == kept


def test_a_chain_of_removals_goes_to_its_end() -> None:
    events = events_of([(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 2, 0), (2, 2, 0), (2, 3, 0), (3, 3, 0)])
    assert not k_core(events.users, events.items, KCore(users=2, items=2)).any()
