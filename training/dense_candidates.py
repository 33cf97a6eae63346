"""The items among which a target's dense score is to be the highest: all, or some of them in a large catalog."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from training.split import NO_ITEM


class Candidates(NamedTuple):
    """What :meth:`model.generator.Generator.dense_loss` takes: its ``items``, ``candidates`` and ``correction``."""

    items: Tensor
    tokens: Tensor
    correction: Tensor | None


class DenseCandidates:
    """Picks the candidates of each batch."""

    def __init__(self, item_tokens: Tensor, most: int) -> None:
        """Takes all of the items with tokens ``(m, N, L)`` if they are at most ``most``, else draws as many."""
        self.tokens = item_tokens.movedim(0, 1).flatten(1)
        self.most = most

    def of(self, items: Tensor) -> Candidates:
        """For targets ``(B, T)`` int64, NO_ITEM where there is none; they are candidates in any case."""
        number = len(self.tokens)
        if number <= self.most:
            return Candidates(items, self.tokens, None)
        wanted = items != NO_ITEM
        targets = torch.unique(items[wanted])
        drawn = torch.randint(number, (self.most,), device=items.device)
        chosen = torch.unique(torch.cat([targets, drawn]))
        places = torch.searchsorted(chosen, items).where(wanted, NO_ITEM)
        # Targets stand for themselves, the others for all that were not drawn.
        others = len(chosen) - len(targets)
        correction = torch.full((len(chosen),), math.log((number - len(targets)) / max(1, others)), device=items.device)
        correction[torch.searchsorted(chosen, targets)] = 0.0
        return Candidates(places, self.tokens[chosen], correction)
