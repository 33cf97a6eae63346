"""One run of the quantizer's training: epochs, checks, the checkpoint kept per modality, and a state to resume from.

All randomness of an epoch follows from (seed, epoch), so a run that was killed needs no generator's state to go on
exactly as it would have.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.quantizer import CrossModalQuantizer, ModalityOutput, ModalityQuantizer, QuantizerConfig
from training.codebooks import reseed_dead_codes, start_codebooks
from training.contrast import NO_LABEL
from training.embedded_items import EmbeddedItems
from training.pseudo_labels import pseudo_labels
from training.quantizer_config import FitQuantizerConfig
from training.quantizer_loss import Batch, losses
from training.quantizer_quality import Quality, measure_quality

State = dict[str, Tensor]

_START = 0  # the epoch whose random numbers choose the batch that the codebooks start from


class Kept(NamedTuple):
    """The best weights of one modality so far, and the lowest collision rate seen so far."""

    epoch: int
    quality: Quality
    lowest: float
    weights: State

    def or_better(self, epoch: int, quality: Quality, weights: State, tolerance: float) -> "Kept":
        """This checkpoint or the new one: the better reconstruction, among those close enough to the lowest rate.

        The new one's weights are copied when it is taken.
        """
        lowest = min(self.lowest, quality.collision_rate)
        eligible = quality.collision_rate <= lowest + tolerance
        dethroned = self.quality.collision_rate > lowest + tolerance
        if eligible and (dethroned or quality.reconstruction_error < self.quality.reconstruction_error):
            return Kept(epoch, quality, lowest, _copied(weights))
        return self._replace(lowest=lowest)


class Averages:
    """Running means of named scalars that stay on their device until asked for."""

    def __init__(self) -> None:
        """Starts empty."""
        self._values: dict[str, list[Tensor]] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Takes one value for each name."""
        for name, value in values.items():
            self._values.setdefault(name, []).append(value.detach())

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: float(torch.stack(values).double().mean()) for name, values in self._values.items()}
        self._values.clear()
        return means


class QuantizerTrainer:
    """Trains one quantizer on one catalog, all of which stands on the device.

    Attributes:
        model: the quantizer in training.
        optimiser: AdamW over it.
        labels: ``(m, N)`` int64 pseudo-labels, NO_LABEL where an item lacks the modality.
        epoch: how many are done.
        kept: per modality the best checkpoint (see :meth:`Kept.or_better`), from the first check on.
    """

    def __init__(self, config: FitQuantizerConfig, items: EmbeddedItems, device: torch.device) -> None:
        """Draws the weights; :meth:`start` must follow, or a checkpoint be restored."""
        self.config = config
        self.items = items
        self.sizes = config.sizes(len(items))
        self.embeddings = tuple(torch.from_numpy(rows).to(device) for rows in items.embeddings)
        self.present = torch.from_numpy(items.present).to(device)
        self.model = _new_model(config, items, self.sizes.codes).to(device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.labels = torch.where(self.present, 0, NO_LABEL)
        self.epoch = 0
        self.kept: dict[int, Kept] = {}
        self._trainable = self.present.any(0).nonzero().squeeze(1)
        self._random = torch.Generator(device)
        self._averages = Averages()

    def start(self) -> None:
        """What a new run does once: pseudo-labels, standardisation, codebooks from the first batch."""
        if len(self.items.modalities) > 1 and self.config.loss.contrast:
            self.labels = self._cluster().to(self.labels.device)
        first = self._shuffled_batches(_START)[0]
        for modality, own in enumerate(self.present):
            part, rows = self.model.part(modality), self.embeddings[modality]
            if self.config.normalise == "standard":
                part.standardiser.fit(*_moments(rows, own))
            chosen = first[own[first]]
            latents = part.encode(rows[chosen if len(chosen) else own.nonzero().squeeze(1)[: self.sizes.batch]])
            start_codebooks(part.quantizer, latents.detach(), self.config.seed)

    def train_epoch(self) -> None:
        """One pass over all items that have at least one modality."""
        self.model.train()
        batches = self._shuffled_batches(self.epoch + 1)
        used = [torch.zeros_like(part.quantizer.codebooks[..., 0], dtype=torch.bool) for part in self._parts()]
        for rows in batches:
            outputs = self._step(rows)
            for modality, output in enumerate(outputs):
                codes = output.quantized.codes[self.present[modality, rows]]
                used[modality].scatter_(1, codes.T, value=True)
        if self.config.reseed_dead_codes:
            self._reseed(used, batches[0])
        self.epoch += 1

    def check(self) -> dict[str, float]:
        """Measures the whole catalog, keeps what is best so far, and returns all metrics by name."""
        self.model.eval()
        metrics = self._averages.take()
        for modality, (name, part) in enumerate(zip(self.items.modalities, self._parts(), strict=True)):
            quality = measure_quality(part, self.embeddings[modality], self.present[modality])
            metrics |= quality.as_metrics(name)
            weights = part.state_dict()
            if modality in self.kept:
                tolerance = self.config.collision_tolerance
                self.kept[modality] = self.kept[modality].or_better(self.epoch, quality, weights, tolerance)
            else:
                self.kept[modality] = Kept(self.epoch, quality, quality.collision_rate, _copied(weights))
        return metrics

    def best_model(self) -> CrossModalQuantizer:
        """The kept weights of all modalities as one quantizer, on the CPU."""
        best = CrossModalQuantizer(self.model.config)
        for modality, kept in self.kept.items():
            best.part(modality).load_state_dict(kept.weights)
        return best.eval()

    def _parts(self) -> list[ModalityQuantizer]:
        return [self.model.part(modality) for modality in range(len(self.items.modalities))]

    def _step(self, rows: Tensor) -> tuple[ModalityOutput, ...]:
        outputs: tuple[ModalityOutput, ...] = self.model(tuple(matrix[rows] for matrix in self.embeddings))
        batch = Batch(outputs, self.labels[:, rows])
        cost = losses(self.config.loss, self.items.modalities, batch, self._random)
        self.optimiser.zero_grad(set_to_none=True)
        cost.total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        positives = {f"with_positive/{name}": share for name, share in cost.with_positive.items()}
        self._averages.add({"loss": cost.total, **cost.terms, **positives})
        return outputs

    @torch.no_grad()
    def _reseed(self, used: list[Tensor], rows: Tensor) -> None:
        for modality, part in enumerate(self._parts()):
            chosen = rows[self.present[modality, rows]]
            if len(chosen) and not used[modality].all():
                latents = part.encode(self.embeddings[modality][chosen])
                reseed_dead_codes(part.quantizer, used[modality], latents, self.optimiser, self._random)

    def _shuffled_batches(self, epoch: int) -> tuple[Tensor, ...]:
        """Seeds the epoch and deals the items into batches whose sizes differ by at most one."""
        self._random.manual_seed(int(np.random.SeedSequence((self.config.seed, epoch)).generate_state(1)[0]))
        order = torch.randperm(len(self._trainable), generator=self._random, device=self._trainable.device)
        return self._trainable[order].tensor_split(-(-len(order) // self.sizes.batch))

    def _cluster(self) -> Tensor:
        labels = [
            pseudo_labels(self.config.pseudo_labels, rows, own, self.config.seed)
            for rows, own in zip(self.items.embeddings, self.items.present, strict=True)
        ]
        return torch.from_numpy(np.stack(labels))


def _copied(weights: State) -> State:
    return {name: value.detach().clone() for name, value in weights.items()}


def _new_model(config: FitQuantizerConfig, items: EmbeddedItems, codes: int) -> CrossModalQuantizer:
    """A quantizer for these embeddings, its weights drawn from the config's seed."""
    sizes = QuantizerConfig(
        modalities=items.modalities,
        inputs=items.widths,
        levels=config.levels,
        codes=codes,
        projection=config.projection,
        widths=config.widths,
        latent=config.latent,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return CrossModalQuantizer(sizes)


def _moments(rows: Tensor, present: Tensor, chunk: int = 65_536) -> tuple[Tensor, Tensor]:
    """Mean and variance ``(width,)`` of the rows ``(N, width)`` that are present, in two passes over chunks."""
    pieces = [(start, present[start : start + chunk]) for start in range(0, len(rows), chunk)]
    total = present.sum()
    mean = torch.stack([rows[start : start + chunk][own].double().sum(0) for start, own in pieces]).sum(0) / total
    squares = [(rows[start : start + chunk][own].double() - mean).square().sum(0) for start, own in pieces]
    return mean, torch.stack(squares).sum(0) / total
