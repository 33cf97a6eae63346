"""All training examples of an epoch as flat tensors on the device, and the batches that they make.

Nothing here loops over examples: an example is a stretch of one flat list of items, a target and a task, and a batch is
gathered from the table of item tokens in a handful of tensor operations.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from model.semantic_ids import PAD, PROMPT_LENGTH, IdSpace
from training.split import Split
from training.tasks import Task

NO_USER = -1


class Batch(NamedTuple):
    """Input tokens ``(B, S)``, target tokens ``(B, L)``, both int64, and items ``(k,)`` for the implicit alignment."""

    tokens: Tensor
    targets: Tensor
    aligned_items: Tensor


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
    trains = split.training_events()
    events = torch.from_numpy(split.interactions.items[trains]).long()
    user = torch.from_numpy(split.interactions.user_of_event()[trains])
    position = torch.arange(len(events))
    seen, left = position - torch.searchsorted(user, user), torch.searchsorted(user, user, right=True) - position
    history = seen.clamp(max=max_history)
    windows = []
    for step in range(target_window):
        chosen = (seen > 0) & (left > step)
        columns = position - history, history, events.roll(-step), user
        windows.append(tuple(column[chosen] for column in columns))
    sequence = tuple(torch.cat(column) for column in zip(*windows, strict=True))
    every_item = torch.arange(number_of_items)
    once, no_user = torch.ones_like(every_item), torch.full_like(every_item, NO_USER)
    single = (every_item + len(events), once, every_item, no_user)
    parts = [sequence if task.is_sequence else single for task in tasks]
    task_of_example = torch.cat([torch.full_like(part[0], index) for index, part in enumerate(parts)])
    start, length, target, users = (torch.cat(column) for column in zip(*parts, strict=True))
    return Examples(torch.cat([events, every_item]), start, length, target, task_of_example, users)


class BatchBuilder:
    """Cuts examples into batches of similar length and gathers their tokens."""

    def __init__(self, space: IdSpace, tasks: list[Task], item_codes: Tensor, device: torch.device) -> None:
        """Lays out the token of every item, modality and level.

        Args:
            space: the ID space.
            tasks: the tasks that examples index.
            item_codes: ``(m, N, L)`` uint8 semantic IDs.
            device: where batches are made.
        """
        self.space = space
        offsets = torch.tensor(
            [[space.token_offset(m, level) for level in range(space.levels)] for m in range(len(space.modalities))]
        )
        self.item_tokens = (item_codes.long() + offsets[:, None, :]).to(device)
        self.source = torch.tensor([task.source for task in tasks], device=device)
        self.target = torch.tensor([task.target for task in tasks], device=device)
        self.is_sequence = torch.tensor([task.is_sequence for task in tasks], device=device)
        self.has_item_tasks = not all(task.is_sequence for task in tasks)
        self.prompt = torch.tensor([-1 if task.prompt is None else task.prompt for task in tasks], device=device)

    def plan(self, examples: Examples, batch_size: int, pool: int, generator: torch.Generator) -> list[Tensor]:
        """Indices of each batch of an epoch: random, but sorted by length inside pools of ``pool`` batches.

        The pools keep padding low while a batch still mixes users and tasks; the batches' order is random.
        """
        order = torch.randperm(len(examples), generator=generator)
        tokens = (examples.length * self.space.levels).cpu() + self._prompt_tokens(examples.task).cpu()
        batches: list[Tensor] = []
        for stretch in torch.split(order, batch_size * pool):
            batches.extend(torch.split(stretch[tokens[stretch].argsort(stable=True)], batch_size))
        shuffled = torch.randperm(len(batches), generator=generator)
        return [batches[index] for index in shuffled.tolist()]

    def gather(self, examples: Examples) -> Batch:
        """The tokens of some examples; their inputs are padded to the longest."""
        slots = torch.arange(int(examples.length.max()), device=examples.start.device)
        present = slots < examples.length[:, None]
        items = examples.items[(examples.start[:, None] + slots).clamp(max=len(examples.items) - 1)]
        tokens = self.item_tokens[self.source[examples.task][:, None], items].masked_fill(~present[:, :, None], PAD)
        targets = self.item_tokens[self.target[examples.task], examples.target]
        # Where no task reads single items, the implicit alignment takes the items that are to be predicted.
        single = ~self.is_sequence[examples.task] if self.has_item_tasks else slice(None)
        aligned = torch.unique(examples.target[single])
        return Batch(self._with_prompts(tokens.flatten(1), examples.task), targets, aligned)

    def tokens(self, modality: int, items: Tensor) -> Tensor:
        """Tokens ``(k, L)`` of items ``(k,)`` in one modality."""
        return self.item_tokens[modality, items]

    def _prompt_tokens(self, task: Tensor) -> Tensor:
        return (self.prompt[task] >= 0).long() * PROMPT_LENGTH

    def _with_prompts(self, tokens: Tensor, task: Tensor) -> Tensor:
        """Puts each task's prompt before its tokens ``(B, S)``; rows without one start at the front."""
        prompt = self.prompt[task]
        if bool((prompt < 0).all()):
            return tokens
        slots = torch.arange(PROMPT_LENGTH, device=tokens.device)
        prompts = self.space.first_prompt_token + prompt[:, None] * PROMPT_LENGTH + slots
        width = tokens.shape[1]
        source = torch.arange(width + PROMPT_LENGTH, device=tokens.device) + (prompt < 0)[:, None] * PROMPT_LENGTH
        padded = torch.cat([prompts, tokens, torch.full_like(prompts, PAD)], dim=1)
        tokens = padded.gather(1, source)
        longest = int((tokens != PAD).sum(dim=1).max())
        return tokens[:, :longest]


def batches_of(builder: BatchBuilder, examples: Examples, batches: list[Tensor]) -> Iterator[Batch]:
    """The batches of a plan, gathered one by one on the examples' device."""
    device = examples.start.device
    for chosen in batches:
        yield builder.gather(examples.select(chosen.to(device)))


def padding_share(tokens: Tensor) -> Tensor:
    """The share of padding among input tokens ``(B, S)``, a scalar."""
    return (tokens == PAD).float().mean()
