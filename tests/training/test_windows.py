from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toys import interactions_of
from training.split import Split
from training.windows import draw_windows

lengths_of_users = st.lists(st.integers(1, 40), min_size=1, max_size=6)


@given(lengths_of_users, st.integers(1, 12), st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_every_training_event_but_a_users_first_is_a_target_and_nothing_held_out_is_read(
    lengths: list[int], max_history: int, seed: int
) -> None:
    split = Split(interactions_of([[0] * length for length in lengths]))
    users, start, inputs = draw_windows(split, max_history, torch.Generator().manual_seed(seed))
    trained = [length - 2 if length >= 3 else length for length in lengths]
    first = [sum(trained[:user]) for user in range(len(trained))]
    targets: Counter[tuple[int, int]] = Counter()
    for user, begin, size in zip(users.tolist(), start.tolist(), inputs.tolist(), strict=True):
        assert 1 <= size <= max_history
        assert first[user] <= begin
        targets.update((user, begin - first[user] + 1 + step) for step in range(size))
    assert set(targets) == {(user, event) for user, length in enumerate(trained) for event in range(1, length)}
    assert max(targets.values(), default=0) <= 2


def test_where_a_long_history_is_cut_changes_from_epoch_to_epoch() -> None:
    split = Split(interactions_of([[0] * 60]))
    cuts = {tuple(draw_windows(split, 10, torch.Generator().manual_seed(seed))[1].tolist()) for seed in range(30)}
    assert len(cuts) == 10


def test_the_last_targets_of_a_long_history_have_a_full_one() -> None:
    split = Split(interactions_of([[0] * 60]))
    for seed in range(10):
        _, start, inputs = draw_windows(split, 10, torch.Generator().manual_seed(seed))
        assert (58 - 11, 10) in zip(start.tolist(), inputs.tolist(), strict=True)
