"""A moving average of a generator's weights, which often answers better than the weights of any one step."""

from copy import deepcopy

import torch
from torch import Tensor

from model.generator import Generator


class WeightAverage:
    """The exponential moving average of weights, from those after the first update on.

    Attributes:
        generator: a generator with the averaged weights.
    """

    def __init__(self, generator: Generator, decay: float) -> None:
        """Follows ``generator``; an update keeps the share ``decay`` of the average."""
        self.generator = deepcopy(generator)
        for weights in self.generator.parameters():
            weights.requires_grad = False
        self.decay, self._started = decay, False
        self._averaged: list[Tensor] = list(self.generator.parameters())
        self._followed: list[Tensor] = list(generator.parameters())

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights as they are now, all in one operation."""
        torch._foreach_lerp_(self._averaged, self._followed, 1 - self.decay if self._started else 1.0)
        self._started = True

    def state(self) -> dict[str, Tensor] | None:
        """What :meth:`restore` reads; None before the first update."""
        return self.generator.state_dict() if self._started else None

    def restore(self, state: dict[str, Tensor] | None) -> None:
        """Goes on from a state."""
        if state is not None:
            self.generator.load_state_dict(state)
            self._started = True
