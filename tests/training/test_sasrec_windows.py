"""Every event but a user's first is a target exactly once an epoch, behind the events before it."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.toys import interactions_of
from training.sasrec import PAD
from training.sasrec_windows import draw_windows, gather
from training.split import Split


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=14), max_size=6),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_windows_cover_the_training_events(sequences: list[list[int]], longest: int, seed: int) -> None:
    numbered = [[user * 100 + place for place in range(len(sequence))] for user, sequence in enumerate(sequences)]
    split = Split(interactions_of(numbered))
    windows = draw_windows(split, longest, np.random.default_rng(seed))
    train = [sequence[:-2] if len(sequence) >= 3 else sequence for sequence in numbered]
    pairs = [pair for sequence in train for pair in pairwise(sequence)]
    if not pairs:
        assert len(windows.starts) == 0
        return
    assert windows.lengths.min() >= 2
    assert windows.lengths.max() <= longest + 1
    events = torch.from_numpy(split.interactions.items).long()
    histories, targets = gather(events, windows, np.arange(len(windows.starts)))
    assert ((histories == PAD) == (targets == PAD)).all()
    inside = histories != PAD
    assert sorted(zip(histories[inside].tolist(), targets[inside].tolist(), strict=True)) == pairs
    assert (histories[:, 1:] == targets[:, :-1])[inside[:, 1:]].all()


def test_long_histories_are_cut_at_other_places_each_time() -> None:
    split = Split(interactions_of([list(range(40))]))
    drawn = {tuple(draw_windows(split, 10, np.random.default_rng(seed)).starts.tolist()) for seed in range(20)}
    assert len(drawn) > 3
