"""Text embeddings by a Sentence-Transformers model."""

from typing import Any, Literal

import numpy as np

from model.encoders import Embeddings
from training.devices import pick_device
from training.embeddings.chunks import Chunks
from training.embeddings.hub import CHUNK, cannot_load, checked, encoder_of, optional
from training.embeddings.rows import BadRows, Embedded, Rows
from training.embeddings.sources import HubConfig, Inputs
from training.items import Item


class SentenceTransformersSource(HubConfig):
    """The model reads "title. category, category. text"; it cuts off what is too long for it."""

    kind: Literal["sentence-transformers"] = "sentence-transformers"


def embed_sentences(config: SentenceTransformersSource, inputs: Inputs) -> Embedded:
    """Embeds the items' texts.

    Raises:
        ConfigError: if the library is not installed or the model cannot be loaded.
        DataError: for a bad row under ``on_bad`` "error".
    """
    model = _load(config)
    dim = _encode(model, config, ["text"]).shape[1]

    def make(rows: range) -> Rows:
        bad = BadRows(config.on_bad)
        found = inputs.text_rows(rows)
        embedded = _encode(model, config, [sentence(inputs.items[row]) for row in found])
        return checked(embedded.reshape(len(found), dim), found, rows, inputs, bad)

    chunks = Chunks(inputs.work, len(inputs.items), CHUNK)
    chunks.fill(make, "texts")
    return Embedded(chunks.join(), encoder_of(config, dim))


def sentence(item: Item) -> str:
    """What the model reads of an item."""
    parts = (item.title.strip(), ", ".join(item.category), item.text.strip())
    return ". ".join(part for part in parts if part)


def _load(config: SentenceTransformersSource) -> Any:
    library = optional("sentence_transformers")
    try:
        return library.SentenceTransformer(
            config.model, revision=config.revision, device=str(pick_device(config.device)), trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise cannot_load(config, error) from error


def _encode(model: Any, config: SentenceTransformersSource, texts: list[str]) -> Embeddings:
    embedded = model.encode(
        texts, batch_size=config.batch, normalize_embeddings=config.normalize, show_progress_bar=False
    )
    return np.asarray(embedded, dtype=np.float32)
