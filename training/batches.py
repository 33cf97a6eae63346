"""Batches of training examples, gathered from the table of item tokens in a handful of tensor operations."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from model.generator_shape import GeneratorShape
from model.history_tokens import tokens_per_item
from model.semantic_ids import PAD, PROMPT_LENGTH, IdSpace
from training.examples import Examples
from training.siblings import Siblings
from training.split import NO_ITEM
from training.tasks import Task


class Batch(NamedTuple):
    """What one step learns from.

    Attributes:
        tokens: ``(B, S)`` int64 inputs, PAD behind short ones and in place of items that are left out.
        targets: ``(B, T, K, L)`` int64 tokens: one item (T = 1), or one for each item of a causal generator's input, in
            one modality (K = 1) or in all of them in their order; PAD where there is no target.
        siblings: ``(B, T, K, L, M)`` bool, which codes may follow each target's prefixes; None if nothing asks for it.
        items: ``(B, T)`` int64, the item that is predicted at each place of a history, -1 where there is none and in
            tasks that read no history; a causal generator's T is its number of positions, those of prompts included.
        aligned_items: ``(k,)`` int64, for the implicit alignment.
    """

    tokens: Tensor
    targets: Tensor
    siblings: Tensor | None
    items: Tensor
    aligned_items: Tensor


class BatchBuilder:
    """Cuts examples into batches of similar length and gathers their tokens."""

    def __init__(
        self,
        space: IdSpace,
        tasks: list[Task],
        item_codes: Tensor,
        device: torch.device,
        shape: GeneratorShape | None = None,
        siblings: Siblings | None = None,
        history_dropout: float = 0.0,
    ) -> None:
        """Lays out the token of every item, modality and level.

        Args:
            space: the ID space.
            tasks: the tasks that examples index.
            item_codes: ``(m, N, L)`` uint8 semantic IDs.
            device: where batches are made.
            shape: of the generator; MACRec's if not given.
            siblings: the codes that a softmax over the catalog ranges over.
            history_dropout: share of the items of a history, but the first, that an example leaves out.
        """
        self.space, self.siblings, self.history_dropout = space, siblings, history_dropout
        self.shape = shape or GeneratorShape()
        self.item_length = tokens_per_item(space, self.shape.position)
        self.prompt_length = PROMPT_LENGTH
        if self.shape.causal or self.shape.position == "item":
            # A prompt fills whole items' places, so that places and targets stay side by side.
            self.prompt_length = -(-PROMPT_LENGTH // self.item_length) * self.item_length
        offsets = torch.tensor(
            [[space.token_offset(m, level) for level in range(space.levels)] for m in range(len(space.modalities))]
        )
        self.item_tokens = (item_codes.long() + offsets[:, None, :]).to(device)
        self.source = torch.tensor([task.source for task in tasks], device=device)
        self.targets = _target_table(tasks, len(space.modalities)).to(device)
        self.is_sequence = torch.tensor([task.is_sequence for task in tasks], device=device)
        self.has_item_tasks = not all(task.is_sequence for task in tasks)
        self.prompt = torch.tensor([-1 if task.prompt is None else task.prompt for task in tasks], device=device)

    def plan(self, examples: Examples, batch_size: int, pool: int, generator: torch.Generator) -> list[Tensor]:
        """Indices of each batch of an epoch: random, but sorted by length inside pools of ``pool`` batches.

        The pools keep padding low while a batch still mixes users and tasks; the batches' order is random. A batch has
        ``batch_size`` targets: an example has one for each modality that its task writes and, for a causal generator,
        for each item of its input.
        """
        order = torch.randperm(len(examples), generator=generator)
        tokens = (examples.length * self.item_length).cpu() + self._prompt_tokens(examples.task).cpu()
        targets = (self.targets >= 0).sum(1)[examples.task].cpu()
        targets = targets * examples.length.cpu() if self.shape.causal else targets
        batches: list[Tensor] = []
        for stretch in torch.split(order, batch_size * pool):
            chosen = stretch[tokens[stretch].argsort(stable=True)]
            number = (targets[chosen].cumsum(0) - 1) // batch_size
            batches.extend(torch.split(chosen, torch.unique_consecutive(number, return_counts=True)[1].tolist()))
        shuffled = torch.randperm(len(batches), generator=generator)
        return [batches[index] for index in shuffled.tolist()]

    def gather(self, examples: Examples) -> Batch:
        """The tokens of some examples; their inputs are padded to the longest."""
        places = torch.arange(int(examples.length.max()), device=examples.start.device)
        present = places < examples.length[:, None]
        items = examples.items[(examples.start[:, None] + places).clamp(max=len(examples.items) - 1)]
        left_out = self._left_out(present)
        tokens = self._inputs(items, examples.task).masked_fill((left_out | ~present)[:, :, None], PAD)
        items, wanted = self._target_items(examples, places, present)
        targets, siblings = self._targets(examples, items, wanted)
        next_items = items.masked_fill(~(wanted & self.is_sequence[examples.task][:, None]), NO_ITEM)
        # Where no task reads single items, the implicit alignment takes the items that are to be predicted.
        single = ~self.is_sequence[examples.task] if self.has_item_tasks else slice(None)
        aligned = torch.unique(examples.target[single])
        inputs = self._with_prompts(tokens.flatten(1), examples)
        return Batch(inputs, targets, siblings, next_items, aligned)

    def tokens(self, modality: int, items: Tensor) -> Tensor:
        """Tokens ``(k, tokens per item)`` by which items ``(k,)`` are read in one modality alone."""
        own = self.item_tokens[modality, items]
        padding = own.new_full((len(own), self.item_length - own.shape[1]), PAD)
        return torch.cat([own, padding], dim=1)

    def _left_out(self, present: Tensor) -> Tensor:
        """Which places ``(B, H)`` of a history an example does without."""
        if not self.history_dropout:
            return torch.zeros_like(present)
        drawn = torch.rand(present.shape, device=present.device) < self.history_dropout
        drawn[:, 0] = False
        return drawn

    def _inputs(self, items: Tensor, task: Tensor) -> Tensor:
        """Tokens ``(B, H, tokens per item)`` of items ``(B, H)``: those of a task's source, or of all modalities."""
        if self.shape.position == "code":
            return self.item_tokens[self.source[task][:, None], items]
        tokens = self.item_tokens[:, items].movedim(0, 2)
        every = torch.arange(tokens.shape[2], device=items.device)
        visible = self.is_sequence[task][:, None] | (every == self.source[task][:, None])
        return tokens.masked_fill(~visible[:, None, :, None], PAD).flatten(2)

    def _target_items(self, examples: Examples, places: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Target items ``(B, T)`` int64, and where there is one."""
        items, wanted = examples.target[:, None], torch.ones_like(present[:, :1])
        if not self.shape.causal:
            return items, wanted
        last = examples.length[:, None] - 1
        following = examples.items[(examples.start[:, None] + places + 1).clamp(max=len(examples.items) - 1)]
        items = torch.where(places == last, items, following)
        wanted = present & (self.is_sequence[examples.task][:, None] | (places == last))
        return self._behind_prompts(items, examples), self._behind_prompts(wanted, examples)

    def _targets(self, examples: Examples, items: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor | None]:
        """Target tokens ``(B, T, K, L)`` and their siblings."""
        written = self.targets[examples.task][:, None, :]
        wanted = wanted[:, :, None] & (written >= 0)
        modality, items = torch.broadcast_tensors(written.clamp(min=0), items[:, :, None])  # type: ignore[no-untyped-call]
        targets = self.item_tokens[modality, items].masked_fill(~wanted[..., None], PAD)
        return targets, self.siblings.mask(modality, items) if self.siblings else None

    def _behind_prompts(self, values: Tensor, examples: Examples) -> Tensor:
        """Moves ``(B, H)``, a value for each item of the input, behind the places that a row's prompt takes."""
        moved = self._prompt_tokens(examples.task) // self.item_length
        if not bool(moved.any()):
            return values
        places = torch.arange(int((examples.length + moved).max()), device=values.device) - moved[:, None]
        found = values.gather(1, places.clamp(min=0, max=values.shape[1] - 1))
        return found.where((places >= 0) & (places < examples.length[:, None]), torch.zeros_like(found))

    def _prompt_tokens(self, task: Tensor) -> Tensor:
        return (self.prompt[task] >= 0).long() * self.prompt_length

    def _with_prompts(self, tokens: Tensor, examples: Examples) -> Tensor:
        """Puts each task's prompt before its tokens ``(B, S)``; rows without one start at the front."""
        prompt = self.prompt[examples.task]
        if bool((prompt < 0).all()):
            return tokens
        slots = torch.arange(PROMPT_LENGTH, device=tokens.device)
        prompts = self.space.first_prompt_token + prompt[:, None] * PROMPT_LENGTH + slots
        padding = tokens.new_full((len(tokens), self.prompt_length), PAD)
        prompts = torch.cat([prompts, padding[:, PROMPT_LENGTH:]], dim=1)
        width = tokens.shape[1]
        source = torch.arange(width + self.prompt_length, device=tokens.device)
        source = source + (prompt < 0)[:, None] * self.prompt_length
        padded = torch.cat([prompts, tokens, padding], dim=1)
        longest = int((examples.length * self.item_length + self._prompt_tokens(examples.task)).max())
        return padded.gather(1, source)[:, :longest]


def batches_of(builder: BatchBuilder, examples: Examples, batches: list[Tensor]) -> Iterator[Batch]:
    """The batches of a plan, gathered one by one on the examples' device."""
    device = examples.start.device
    for chosen in batches:
        yield builder.gather(examples.select(chosen.to(device)))


def _target_table(tasks: list[Task], modalities: int) -> Tensor:
    """The modalities that tasks write, ``(tasks, K)``, -1 for none: their only one, or a column for each modality."""
    if all(len(task.targets) == 1 for task in tasks):
        return torch.tensor([task.targets for task in tasks])
    return torch.tensor([[each if each in task.targets else -1 for each in range(modalities)] for task in tasks])


def padding_share(tokens: Tensor) -> Tensor:
    """The share of padding among input tokens ``(B, S)``, a scalar."""
    return (tokens == PAD).float().mean()
