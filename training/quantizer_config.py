"""The settings of the quantize stage, and the sizes that follow from the catalog where they are left open."""

from math import log2
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from model.config import Config
from model.semantic_ids import MAX_CODES
from training.devices import Device
from training.pseudo_labels import PseudoLabelConfig
from training.quantizer_loss import LossConfig

ITEMS_PER_CODE = 12
LEAST_CODES = 8
ITEMS_PER_BATCH_ROW = 4
LEAST_BATCH, MOST_BATCH = 64, 1024


class Sizes(NamedTuple):
    """Codes per level and items per batch."""

    codes: int
    batch: int


def default_sizes(items: int) -> Sizes:
    """M = the power of two nearest N / 12, within 8 and 256; a batch = the one nearest N / 4, within 64 and 1024.

    A dozen items per first-level code leaves something for the generator to share between items; the paper's 256 codes
    and batches of 1024 come out from about 2,200 and 2,900 items on.
    """
    codes = 2 ** round(log2(max(1.0, items / ITEMS_PER_CODE)))
    batch = 2 ** round(log2(max(1.0, items / ITEMS_PER_BATCH_ROW)))
    return Sizes(min(MAX_CODES, max(LEAST_CODES, codes)), min(MOST_BATCH, max(LEAST_BATCH, batch)))


class FitQuantizerConfig(Config):
    """How the quantizer is built and trained; the defaults are the paper's where it names a value.

    Attributes:
        method: "train" is the cross-modal quantizer; "kmeans" (:mod:`training.residual_kmeans`) trains nothing and
            takes the sizes, ``latent``, ``normalise`` and ``seed`` alone.
        levels: L.
        codes: M; None takes :func:`default_sizes`.
        batch: items per step; None takes :func:`default_sizes`.
        projection: width of the encoder's first, linear layer.
        widths: the hidden layers of the encoder's MLP. The paper's are far more than a catalog of a few thousand items
            needs, and slow on a CPU; (256, 128, 64) behind a projection of 256 trains twenty times faster.
        latent: d.
        normalise: "standard" (not the paper's "none") centres the embeddings and divides them by one number, which the
            module keeps: the losses' weights and the learning rate then mean the same for embeddings of any scale.
        loss: the terms' weights.
        pseudo_labels: the K-means that L_con takes its positives from.
        epochs: at most this many.
        check_every: epochs between two looks at the collision rate.
        collision_tolerance: checkpoints whose collision rate is this close to the lowest count as equal, and the one
            that reconstructs best is kept. 0 is the paper's rule; in a catalog of some thousand items one item more or
            less, which is moved anyway, then outweighs hundreds of epochs.
        reseed_dead_codes: after every epoch, codes that no item used move onto random residuals of their level.
        max_minutes: training stops after the epoch that reaches this, over all resumed runs together.
        checkpoint_seconds: at least this long between two checkpoints to resume from.
    """

    method: Literal["train", "kmeans"] = "train"
    levels: int = Field(4, ge=1)
    codes: int | None = Field(None, ge=1, le=MAX_CODES)
    batch: int | None = Field(None, ge=2)
    projection: int = Field(768, ge=1)
    widths: tuple[int, ...] = (2048, 1024, 512, 256, 128, 64)
    latent: int = Field(32, ge=1)
    normalise: Literal["none", "standard"] = "standard"
    loss: LossConfig = LossConfig()
    pseudo_labels: PseudoLabelConfig = PseudoLabelConfig()
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    epochs: int = Field(1000, ge=1)
    check_every: int = Field(2, ge=1)
    collision_tolerance: float = Field(0.0, ge=0, lt=1)
    reseed_dead_codes: bool = True
    max_minutes: float | None = Field(None, gt=0)
    checkpoint_seconds: float = Field(60.0, ge=0)
    seed: int = Field(0, ge=0)
    device: Device = "auto"

    @model_validator(mode="after")
    def _contrast_acts_at_some_level(self) -> Self:
        """A weight that acts at no level would look like an L_con that does not help."""
        if self.loss.contrast and self.loss.contrast_from > self.levels:
            raise ValueError(
                f"loss.contrast_from {self.loss.contrast_from} is behind the last of {self.levels} levels: "
                "set it to one of them, or loss.contrast to 0"
            )
        return self

    def sizes(self, items: int) -> Sizes:
        """What is set, and what the catalog's size makes of the rest."""
        default = default_sizes(items)
        return Sizes(self.codes or default.codes, self.batch or default.batch)
