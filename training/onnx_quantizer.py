"""The frozen quantizer as one ONNX graph: embeddings of every modality in, codes and what the assignment needs out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import BundleError
from model.quantizer import CrossModalQuantizer
from training.onnx_search import export_graph, open_graph

# Of the largest value: distances are differences of large squares, so small ones keep fewer digits.
FLOAT_TOLERANCE = 1e-4
CODE_TOLERANCE = 1e-3


class QuantizerGraph(nn.Module):
    """For each modality: codes ``(B, L)`` int64, distances ``(B, L, M)`` and latents ``(B, d)``, in that order."""

    def __init__(self, quantizer: CrossModalQuantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(self, *embeddings: Tensor) -> tuple[Tensor, ...]:
        """Raw embeddings ``(B, width)``, one per modality in the ID space's order."""
        outputs: list[Tensor] = []
        for modality, rows in enumerate(embeddings):
            latent = self.quantizer.encode(modality, rows)
            quantized = self.quantizer.quantize(modality, latent)
            outputs += [quantized.codes, quantized.distances, latent]
        return tuple(outputs)


def export_quantizer(
    quantizer: CrossModalQuantizer, embeddings: tuple[Tensor, ...], path: Path, metadata: Mapping[str, str]
) -> None:
    """Writes ``quantizer.onnx`` and checks it on ``embeddings``, one ``(B, width)`` per modality with B at least 2.

    Raises:
        BundleError: if ONNX and torch disagree on a latent, or on a code that is not a tie.
    """
    graph = QuantizerGraph(quantizer).eval()
    names = quantizer.config.modalities
    outputs = tuple(f"{name}_{output}" for name in names for output in ("codes", "distances", "latent"))
    shapes = ({0: torch.export.Dim.DYNAMIC},) * len(names)
    export_graph(graph, embeddings, path, metadata, names, outputs, (shapes,))  # type: ignore[arg-type]
    with torch.inference_mode():
        expected = [output.numpy() for output in graph(*embeddings)]
    feed = {name: rows.numpy() for name, rows in zip(names, embeddings, strict=True)}
    for name, ours, theirs in zip(outputs, expected, open_graph(path).run(None, feed), strict=True):
        if ours.dtype == np.int64:
            agree = float((ours == theirs).mean())
            if agree < 1 - CODE_TOLERANCE:
                raise BundleError(f"{path}: {name} agrees with the trained quantizer in only {agree:.2%} of codes")
        elif (error := np.abs(ours - theirs).max()) > FLOAT_TOLERANCE * np.abs(ours).max():
            raise BundleError(f"{path}: {name} is up to {error:.2g} off the trained quantizer; do not serve it")
