"""All training examples of an epoch as flat tensors on the device.

Nothing here loops over examples: an example is a stretch of one flat list of items, a target and a task.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.split import Split
from training.tasks import Task
from training.windows import draw_windows

NO_USER = -1


@dataclass(frozen=True)
class Examples:
    """Examples as stretches of a flat list of items.

    Attributes:
        items: ``(F,)`` int64: all training events user by user, then every item once (the item tasks' inputs).
        start: ``(n,)`` int64, where each example's input begins in ``items``.
        length: ``(n,)`` int64, how many items it has.
        target: ``(n,)`` int64, the item to predict.
        task: ``(n,)`` int64, index into the list of tasks.
        user: ``(n,)`` int64, whose history it is, -1 for the item tasks.
    """

    items: Tensor
    start: Tensor
    length: Tensor
    target: Tensor
    task: Tensor
    user: Tensor

    def __len__(self) -> int:
        return len(self.start)

    def select(self, chosen: Tensor) -> "Examples":
        """The examples at indices ``chosen`` ``(k,)``."""
        return Examples(self.items, *(column[chosen] for column in self._columns()))

    def to(self, device: torch.device) -> "Examples":
        """The same examples on ``device``."""
        return Examples(self.items.to(device), *(column.to(device) for column in self._columns()))

    def draw_per_user(self, count: int, generator: torch.Generator) -> Tensor:
        """Indices of at most ``count`` random examples of each user and task, and of all without a user."""
        shuffled = torch.randperm(len(self), generator=generator)
        group = self.task * (int(self.user.max()) + 2) + self.user + 1  # NO_USER is a group of its own
        order = shuffled[group[shuffled].argsort(stable=True)]
        group = group[order]
        place = torch.arange(len(self)) - torch.searchsorted(group, group)
        kept: Tensor = order[(place < count) | (self.user[order] == NO_USER)]
        return kept.sort().values

    def _columns(self) -> tuple[Tensor, ...]:
        return self.start, self.length, self.target, self.task, self.user


def build_examples(
    tasks: list[Task],
    split: Split,
    number_of_items: int,
    max_history: int,
    target_window: int = 1,
) -> Examples:
    """Prefixes of every user's training events for the sequence tasks, and every item for the item tasks.

    Args:
        tasks: the tasks to train.
        split: tells which events train.
        number_of_items: N.
        max_history: longest input, in items; older events are cut off.
        target_window: how many of the events after a history are its targets, one an example.
    """
    events, user = _training_events(split)
    position = torch.arange(len(events))
    seen, left = position - torch.searchsorted(user, user), torch.searchsorted(user, user, right=True) - position
    history = seen.clamp(max=max_history)
    windows = []
    for step in range(target_window):
        chosen = (seen > 0) & (left > step)
        columns = position - history, history, events.roll(-step), user
        windows.append(tuple(column[chosen] for column in columns))
    return _join(tasks, events, number_of_items, tuple(torch.cat(column) for column in zip(*windows, strict=True)))


def build_windows(
    tasks: list[Task], split: Split, number_of_items: int, max_history: int, generator: torch.Generator
) -> Examples:
    """Windows of every user's training events for the sequence tasks of a causal generator, and every item.

    All events of a window but the first are targets; ``target`` names the last.

    Args:
        tasks: the tasks to train.
        split: tells which events train.
        number_of_items: N.
        max_history: longest input, in items.
        generator: draws where the windows lie.
    """
    events, _ = _training_events(split)
    user, start, length = draw_windows(split, max_history, generator)
    return _join(tasks, events, number_of_items, (start, length, events[start + length], user))


def _training_events(split: Split) -> tuple[Tensor, Tensor]:
    """The items of all training events, user by user, and their users, both int64 ``(E,)``."""
    trains = split.training_events()
    items = torch.from_numpy(split.interactions.items[trains]).long()
    return items, torch.from_numpy(split.interactions.user_of_event()[trains])


def _join(tasks: list[Task], events: Tensor, number_of_items: int, sequence: tuple[Tensor, ...]) -> Examples:
    """All tasks' examples: ``sequence`` (start, length, target, user) for those that read histories, else all items."""
    every_item = torch.arange(number_of_items)
    once, no_user = torch.ones_like(every_item), torch.full_like(every_item, NO_USER)
    single = (every_item + len(events), once, every_item, no_user)
    parts = [sequence if task.is_sequence else single for task in tasks]
    task_of_example = torch.cat([torch.full_like(part[0], index) for index, part in enumerate(parts)])
    start, length, target, users = (torch.cat(column) for column in zip(*parts, strict=True))
    return Examples(torch.cat([events, every_item]), start, length, target, task_of_example, users)
