"""The frozen quantizer as one ONNX graph: embeddings of every modality in, codes and what the assignment needs out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.errors import BundleError
from model.quantizer import CrossModalQuantizer
from training.onnx_search import export_graph, open_graph

# Of the largest value: distances are differences of large squares, so small ones keep fewer digits.
TOLERANCE = 1e-4


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
    export_graph(graph, embeddings, path, metadata, names, outputs, (shapes,))
    with torch.inference_mode():
        expected = [output.numpy() for output in graph(*embeddings)]
    feed = {name: rows.numpy() for name, rows in zip(names, embeddings, strict=True)}
    found = open_graph(path).run(None, feed)
    for modality, name in enumerate(names):
        part = slice(3 * modality, 3 * modality + 3)
        if (error := difference(expected[part], found[part])) > TOLERANCE:
            raise BundleError(f"{path}: {name} is {error:.2g} off the trained quantizer; do not serve it")


def difference(ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]) -> float:
    """The largest difference between two results (codes, distances, latent), relative to the largest value.

    A row whose codes differ counts as the gap between the two codes' distances where they part, which is 0 for a tie;
    what follows in that row belongs to other residuals and says nothing.
    """
    (codes, distances, latent), (other_codes, other_distances, other_latent) = ours, theirs
    same = (codes == other_codes).all(axis=1)
    rows = np.flatnonzero(~same)
    level = (codes[rows] != other_codes[rows]).argmax(axis=1)
    parted = distances[rows, level]
    at = np.arange(len(rows))
    gaps = np.abs(parted[at, codes[rows, level]] - parted[at, other_codes[rows, level]])
    scale = np.abs(distances).max()
    errors = (
        np.abs(latent - other_latent).max() / np.abs(latent).max(),
        np.abs(distances[same] - other_distances[same]).max(initial=0.0) / scale,
        gaps.max(initial=0.0) / scale,
    )
    return float(np.max(errors))
