"""Picture embeddings by a CLIP or SigLIP model of the transformers library."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from model.encoders import Embeddings
from model.errors import ConfigError
from training.devices import pick_device
from training.embeddings.chunks import Chunks
from training.embeddings.hub import CHUNK, cannot_load, checked, encoder_of, optional
from training.embeddings.pictures import Pictures
from training.embeddings.rows import BadRows, Embedded, Rows, batches
from training.embeddings.sources import HubConfig, Inputs


class ClipSource(HubConfig):
    """``images`` is the folder or zip archive inside the data folder; None looks for images/ or images.zip."""

    kind: Literal["clip"] = "clip"
    images: str | None = None


class _Clip(NamedTuple):
    model: Any
    processor: Any
    device: torch.device


def embed_clip(config: ClipSource, inputs: Inputs) -> Embedded:
    """Embeds the items' pictures in the space that the model shares between pictures and texts.

    Raises:
        ConfigError: if the library is not installed, or the model cannot be loaded or embeds no pictures.
        DataError: for a bad picture under ``on_bad`` "error".
    """
    clip = _load(config)
    pictures = Pictures(inputs, config.images)
    dim = _encode(clip, config, [Image.new("RGB", (8, 8))]).shape[1]

    def make(rows: range) -> Rows:
        bad = BadRows(config.on_bad)
        found: list[int] = []
        parts = [np.zeros((0, dim), dtype=np.float32)]
        for batch in batches(rows, config.batch):
            read = pictures.read(batch, bad)
            if read:
                found += read
                parts.append(_encode(clip, config, list(read.values())))
        return checked(np.concatenate(parts), found, rows, inputs, bad)

    chunks = Chunks(inputs.work, len(inputs.items), CHUNK)
    chunks.fill(make, "pictures")
    return Embedded(chunks.join(), encoder_of(config, dim))


def _load(config: ClipSource) -> _Clip:
    library = optional("transformers")
    device = pick_device(config.device)
    try:
        model = library.AutoModel.from_pretrained(config.model, revision=config.revision)
        processor = library.AutoImageProcessor.from_pretrained(config.model, revision=config.revision)
    except (OSError, ValueError) as error:
        raise cannot_load(config, error) from error
    if not hasattr(model, "get_image_features"):
        raise ConfigError(
            f"{config.model!r} is a {type(model).__name__}, not a CLIP or SigLIP model with image features"
        )
    return _Clip(model.to(device).eval(), processor, device)


@torch.inference_mode()
def _encode(clip: _Clip, config: ClipSource, images: Sequence[Image.Image]) -> Embeddings:
    pixels = clip.processor(images=list(images), return_tensors="pt").to(clip.device)
    features = clip.model.get_image_features(**pixels)
    if not isinstance(features, torch.Tensor):  # transformers 5 wraps them
        features = features.pooler_output
    if config.normalize:
        features = torch.nn.functional.normalize(features)
    return np.asarray(features.float().cpu())
