"""The cross-modal quantizer: per modality an encoder, a residual quantizer and a mirrored decoder.

MACRec, "cross-modal residual quantization". The modalities meet only in the training losses, so each one's weights
stand alone: they may come from different epochs, and a new item's ID in one modality needs that modality's embedding
only.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from model.config import Config
from model.errors import BundleError
from model.residual_quantizer import Quantized, ResidualQuantizer
from model.semantic_ids import MAX_CODES

WEIGHTS_FILE = "quantizer.safetensors"
CONFIG_FILE = "config.json"


class QuantizerConfig(Config):
    """The sizes of a quantizer, enough to rebuild it; the defaults are the paper's.

    Attributes:
        modalities: names, in the order of the ID space.
        inputs: the embedding width of each modality.
        levels: L, codes per semantic ID.
        codes: M, vectors per codebook.
        projection: width of the linear layer in front of the encoder's MLP.
        widths: the MLP's hidden layers; the decoder mirrors them.
        latent: d, the width of a latent and of a code's vector.
    """

    modalities: tuple[str, ...] = Field(min_length=1)
    inputs: tuple[int, ...] = Field(min_length=1)
    levels: int = Field(4, ge=1)
    codes: int = Field(256, ge=1, le=MAX_CODES)
    projection: int = Field(768, ge=1)
    widths: tuple[int, ...] = (2048, 1024, 512, 256, 128, 64)
    latent: int = Field(32, ge=1)

    @model_validator(mode="after")
    def _one_input_width_per_modality(self) -> Self:
        if len(self.modalities) != len(self.inputs) or len(set(self.modalities)) != len(self.modalities):
            raise ValueError(
                f"need distinct modalities with one input width each, not {self.modalities}, {self.inputs}"
            )
        return self


class Standardiser(nn.Module):
    """Shifts embeddings to mean 0 and divides them by ONE number, so that a feature's average variance is 1.

    One scale for all features, not one each: that keeps the geometry of the embedding, where dividing each feature by
    its own deviation would blow the noise of nearly constant ones up to the size of the signal. Kept as buffers, so
    that serving treats an embedding exactly as training did. Until :meth:`fit` it changes nothing.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        """``width`` is the number of features."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, mean: Tensor, variance: Tensor) -> None:
        """Takes the features' means ``(width,)`` and variances ``(width,)``; constant embeddings keep their scale."""
        self.mean.copy_(mean)
        deviation = variance.mean().sqrt()
        self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Standardised embeddings, ``(B, width)``."""
        standardised: Tensor = (embeddings - self.mean) / self.scale
        return standardised


class ModalityOutput(NamedTuple):
    """The training pass of one modality.

    Attributes:
        target: ``(B, width)``, the standardised embeddings.
        reconstruction: ``(B, width)``, the decoder's answer.
        quantized: codes, residuals and codewords.
    """

    target: Tensor
    reconstruction: Tensor
    quantized: Quantized


def _mlp(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with ReLU between them, Xavier weights, zero biases."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear] if number == 0 else [nn.ReLU(), linear]
    return nn.Sequential(*layers)


class ModalityQuantizer(nn.Module):
    """One modality: standardise, encode, quantize; the decoder serves training only."""

    def __init__(self, width: int, config: QuantizerConfig) -> None:
        """``width`` is the modality's embedding width."""
        super().__init__()
        inner = (config.projection, *config.widths, config.latent)
        self.standardiser = Standardiser(width)
        self.encoder = nn.Sequential(_mlp((width, config.projection)), _mlp(inner))
        self.quantizer = ResidualQuantizer(config.levels, config.codes, config.latent)
        self.decoder = nn.Sequential(_mlp(inner[::-1]), _mlp((config.projection, width)))

    def encode(self, embeddings: Tensor) -> Tensor:
        """Latents ``(B, d)`` of raw embeddings ``(B, width)``."""
        latent: Tensor = self.encoder(self.standardiser(embeddings))
        return latent

    def quantize(self, latent: Tensor) -> Quantized:
        """Codes, distances and sums of latents ``(B, d)``."""
        quantized: Quantized = self.quantizer(latent)
        return quantized

    def forward(self, embeddings: Tensor) -> ModalityOutput:
        """Encodes, quantizes and reconstructs raw embeddings ``(B, width)``."""
        target = self.standardiser(embeddings)
        quantized = self.quantize(self.encoder(target))
        return ModalityOutput(target, self.decoder(quantized.total), quantized)


class CrossModalQuantizer(nn.Module):
    """All modalities' quantizers, in the config's order (``parts[i]`` belongs to ``config.modalities[i]``)."""

    def __init__(self, config: QuantizerConfig) -> None:
        """Random weights; see :func:`load_quantizer` for trained ones."""
        super().__init__()
        self.config = config
        self.parts = nn.ModuleList(ModalityQuantizer(width, config) for width in config.inputs)

    def part(self, modality: int) -> ModalityQuantizer:
        """The quantizer of the modality at this position."""
        part = self.parts[modality]
        assert isinstance(part, ModalityQuantizer)
        return part

    def encode(self, modality: int, embeddings: Tensor) -> Tensor:
        """Latents ``(B, d)`` of one modality's raw embeddings ``(B, width)``."""
        return self.part(modality).encode(embeddings)

    def quantize(self, modality: int, latent: Tensor) -> Quantized:
        """Codes, distances and sums of one modality's latents ``(B, d)``."""
        return self.part(modality).quantize(latent)

    def forward(self, embeddings: tuple[Tensor, ...]) -> tuple[ModalityOutput, ...]:
        """The training pass for one batch of raw embeddings ``(B, width)`` per modality."""
        return tuple(part(rows) for part, rows in zip(self.parts, embeddings, strict=True))


def load_quantizer(folder: Path, device: str | torch.device = "cpu") -> CrossModalQuantizer:
    """The trained quantizer that a folder's ``config.json`` and ``quantizer.safetensors`` describe, in eval mode.

    Raises:
        BundleError: if a file is missing, damaged, or the weights do not have the sizes that the config names.
    """
    try:
        config = QuantizerConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
        quantizer = CrossModalQuantizer(config)
        quantizer.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BundleError(f"no usable quantizer in {folder}: {error}; run the quantize stage again") from error
    return quantizer.to(device).eval()
