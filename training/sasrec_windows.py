"""The training sequences of SASRec: users' training events cut into windows, every position predicted once an epoch."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.sasrec import PAD
from training.split import Split


class Windows(NamedTuple):
    """W stretches of the flat list of events: ``starts`` and ``lengths`` ``(W,)`` int64, at least two events each."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


def draw_windows(split: Split, longest: int, rng: np.random.Generator) -> Windows:
    """Cuts every user's training events into stretches of at most ``longest`` steps, at places drawn anew each time.

    Neighbours share an event, the last input of one being no target of it but the first input of the next: so each
    event but a user's first is a target exactly once.
    """
    first, end = split.interactions.offsets[:-1], split.train_ends
    steps = end - first - 1
    users = np.flatnonzero(steps > 0)
    shift = np.where(steps[users] > longest, rng.integers(0, longest, len(users)), 0)
    counts = -(-(steps[users] + shift) // longest)
    owner = np.repeat(users, counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = place * longest - np.repeat(shift, counts)
    from_step, to_step = np.maximum(begin, 0), np.minimum(begin + longest, steps[owner])
    kept = to_step > from_step
    return Windows((first[owner] + from_step)[kept], (to_step - from_step + 1)[kept])


def gather(items: Tensor, windows: Windows, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Histories and targets ``(B, T)`` int64 of some windows over the flat list ``items`` of events, PAD at ends."""
    lengths = torch.from_numpy(windows.lengths[chosen] - 1)[:, None]
    slots = torch.arange(int(lengths.max()))
    inside = slots < lengths
    events = torch.where(inside, torch.from_numpy(windows.starts[chosen])[:, None] + slots, 0)
    histories = items[events].masked_fill(~inside, PAD)
    targets = items[torch.where(inside, events + 1, 0)].masked_fill(~inside, PAD)
    return histories, targets
