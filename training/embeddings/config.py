"""Where each modality's embeddings come from."""

from typing import Annotated

from pydantic import Field, StringConstraints

from model.config import Config
from training.embeddings.cooccurrence import CooccurrenceSource
from training.embeddings.fit_imputation import ImputationConfig
from training.embeddings.hub_image import ClipSource
from training.embeddings.hub_text import SentenceTransformersSource
from training.embeddings.offline_image import PictureSource
from training.embeddings.offline_text import TfidfSource
from training.embeddings.precomputed import PrecomputedSource

Source = Annotated[
    PrecomputedSource | TfidfSource | PictureSource | SentenceTransformersSource | ClipSource | CooccurrenceSource,
    Field(discriminator="kind"),
]
ModalityName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]  # it names files


class EmbeddingsConfig(Config):
    """The modalities, in the order that they have everywhere after, and how missing ones are imputed."""

    modalities: dict[ModalityName, Source] = Field(
        default={"text": TfidfSource(), "image": PictureSource()}, min_length=1
    )
    imputation: ImputationConfig = ImputationConfig()

    @property
    def reads_events(self) -> bool:
        """Whether a source depends on which events train."""
        return any(source.kind == "cooccurrence" for source in self.modalities.values())
