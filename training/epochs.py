"""What each epoch of the generator's training learns from: its examples and the batches that they make."""

import torch
from torch import Tensor

from training.batches import BatchBuilder
from training.examples import Examples, build_examples, build_windows
from training.generator_config import FitGeneratorConfig
from training.split import Split
from training.tasks import Task

EPOCH_SEED = 1_000_003


class Epochs:
    """The examples and batches of every epoch; they depend on the seed and the epoch alone, so a resume finds them."""

    def __init__(
        self, config: FitGeneratorConfig, split: Split, tasks: list[Task], items: int, builder: BatchBuilder
    ) -> None:
        """Lays out the examples, if they are the same in all epochs.

        Args:
            config: the training's.
            split: tells which events train.
            tasks: what is trained.
            items: N.
            builder: makes the batches.
        """
        self.config, self.split, self.tasks, self.items, self.builder = config, split, tasks, items, builder
        self.prefixes: Examples | None = None
        if not config.shape.causal:
            self.prefixes = build_examples(tasks, split, items, config.max_history, config.target_window)

    def plan(self, epoch: int) -> tuple[Examples, list[Tensor]]:
        """An epoch's examples, and the indices of those of each batch."""
        generator = torch.Generator().manual_seed(self.config.seed * EPOCH_SEED + epoch)
        examples = self._examples(generator)
        return examples, self.builder.plan(examples, self.config.batch_size, self.config.pool, generator)

    def _examples(self, generator: torch.Generator) -> Examples:
        """All of them, or a few random targets of each user and every item task; windows are drawn."""
        if self.prefixes is None:
            return build_windows(self.tasks, self.split, self.items, self.config.max_history, generator)
        if not self.config.targets_per_user:
            return self.prefixes
        return self.prefixes.select(self.prefixes.draw_per_user(self.config.targets_per_user, generator))
