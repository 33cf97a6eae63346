"""Stretches of users' events that a causal generator learns from: every event of one but the first is a target."""

import torch
from torch import Tensor

from training.split import Split


def draw_windows(split: Split, max_history: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Cuts every user's training events into windows, anew each epoch.

    A user with more than ``max_history + 1`` events has one window at the end and, from a random place before it
    backwards, windows side by side; each shares one event with the next, the last input being the first target.

    Args:
        split: tells which events train.
        max_history: inputs of a full window.
        generator: draws the places.

    Returns:
        Of each of n windows the user, the position of its first event among all training events, and its number of
        inputs, all int64 ``(n,)``; one more event follows the inputs.
    """
    lengths = torch.from_numpy(split.train_ends - split.interactions.offsets[:-1])
    first = lengths.cumsum(0) - lengths
    user = torch.arange(len(lengths))
    shift = (torch.rand(len(lengths), generator=generator) * max_history).long()
    is_long = lengths > max_history + 1
    # Where the windows side by side end, one behind the last target; the window at the end has its own.
    end = lengths - torch.where(is_long, shift, 0)
    count = torch.where(is_long, (end - 2) // max_history + 1, (lengths > 1).long())
    extra = is_long & (shift > 0)
    owner = torch.cat([user.repeat_interleave(count), user[extra]])
    step = torch.arange(int(count.sum())) - (count.cumsum(0) - count).repeat_interleave(count)
    ends = torch.cat([end.repeat_interleave(count) - step * max_history, lengths[extra]])
    inputs = (ends - 1).clamp(max=max_history)
    return owner, first[owner] + ends - 1 - inputs, inputs
