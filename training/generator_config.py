"""The settings of the generator's training."""

from typing import Self

from pydantic import Field, model_validator

from model.config import Config
from model.generator_shape import GeneratorShape
from model.transformer_config import TransformerSizes
from training.devices import Device, Precision
from training.tasks import Explicit


class FitGeneratorConfig(Config):
    """How the generator is trained; the defaults are MACRec's, but for the batch, which suits one small machine.

    Attributes:
        sizes: of the transformer.
        shape: how it reads histories and what its probabilities range over.
        max_history: longest history in items.
        explicit: which cross-modal tasks are trained: "none", "items" (cheap: an item once an epoch), or "all".
        implicit_weight: weight of the implicit alignment of the items of the cross-modal item tasks, or, without such
            tasks, of the batch's targets; 0 turns it off.
        implicit_temperature: its temperature.
        dense_weight: weight of the loss of dense scores, where the shape has them.
        dense_candidates: items among which a target's dense score is to be the highest; larger catalogs are drawn from
            anew for each step.
        targets_per_user: how many targets a user gives each epoch, drawn anew; 0 takes all prefixes.
        target_window: how many of the events after a history are its targets, one an example. Where many events share a
            time, which of them comes next is chance, and several tell more.
        history_dropout: share of the items of a history, but the first, that an example leaves out, drawn anew.
        batch_size: targets per step.
        pool: batches that are sorted by length together, to keep padding low.
        epochs: at most.
        max_minutes: training time at most (:func:`training.devices.training_clock`), which the learning rate's schedule
            then follows; 0 is no limit.
        learning_rate: peak rate, reached after ``warmup`` of all steps (or minutes), then on a cosine to 0.
        embedding_rate: multiplies the rate of the token embeddings. They start at standard deviation 1, all other
            weights near d_model^-0.5: a rate that suits the others moves them too slowly for a short run.
        beta2: AdamW's second moment's decay; a short run wants a shorter memory than 0.999.
        warmup: share of all steps.
        weight_decay: AdamW's.
        clip: largest gradient norm.
        label_smoothing: of the token loss.
        average: decay of the moving average of the weights that is validated and kept, in steps; 0 keeps the last.
        remove_seen: whether validation removes what a user has seen, as a shop would; the paper leaves it in.
        validate_every: epochs between validations.
        validation_users: how many users validate, drawn once; 0 takes all.
        patience: validations without a better NDCG@10 before training stops; 0 never stops.
        beam: beams per list in validation.
        checkpoint_minutes: time between checkpoints inside an epoch.
        seed: of weights, order and dropout.
        device: where to train.
        precision: bfloat16 where the hardware has it, if ``auto``.
        threads: CPU threads; 0 leaves torch's default.
    """

    sizes: TransformerSizes = TransformerSizes()
    shape: GeneratorShape = GeneratorShape()
    max_history: int = 20
    explicit: Explicit = "all"
    implicit_weight: float = 0.01
    implicit_temperature: float = 0.1
    dense_weight: float = Field(1.0, gt=0)
    dense_candidates: int = Field(20_000, ge=1)
    targets_per_user: int = 0
    target_window: int = 1
    history_dropout: float = Field(default=0.0, ge=0, lt=1)
    batch_size: int = 1024
    pool: int = 16
    epochs: int = 200
    max_minutes: float = 0.0
    learning_rate: float = 1e-3
    embedding_rate: float = 1.0
    beta2: float = 0.999
    warmup: float = 0.01
    weight_decay: float = 0.01
    clip: float = 1.0
    label_smoothing: float = 0.0
    average: float = Field(default=0.0, ge=0, lt=1)
    remove_seen: bool = False
    validate_every: int = 1
    validation_users: int = 2000
    patience: int = 10
    beam: int = 20
    checkpoint_minutes: float = 2.0
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    threads: int = 0

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        """A setting that would act on nothing is refused, for it would look as if it did not help."""
        if self.shape.causal and (self.target_window > 1 or self.targets_per_user):
            raise ValueError(
                f"target_window {self.target_window} and targets_per_user {self.targets_per_user} choose among "
                "prefixes, and a causal generator learns from all of them at once: leave them at 1 and 0, or set "
                "shape.causal to false"
            )
        if self.shape.position == "item" and self.explicit == "all":
            raise ValueError(
                "explicit = 'all' trains histories of one modality to predict another, but with shape.position = "
                "'item' a history has all modalities: set explicit to 'items' or 'none'"
            )
        return self
