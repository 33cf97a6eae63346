"""Embeddings that the caller makes: by a model too large for the service, or by the shop itself."""

from typing import ClassVar, Literal

import numpy as np

from model.config import Config
from model.encoders.base import Embeddings, Encoder, Takes
from model.errors import DataError


class GivenState(Config):
    """What a caller must send: ``dim`` numbers a row, made as ``origin`` says; ``normalize`` is done here."""

    kind: Literal["given"] = "given"
    dim: int
    normalize: bool = False
    origin: str = ""


class GivenEncoder(Encoder):
    """Checks embeddings and brings them into the form that the quantizer was trained on."""

    takes: ClassVar[Takes] = "embedding"

    def __init__(self, state: GivenState) -> None:
        """Keeps the settings; there are no arrays."""
        self.state = state
        self.dim = state.dim

    def accept(self, embeddings: Embeddings) -> Embeddings:
        """``embeddings`` ``(B, d)`` as float32, scaled to unit length where the state says so; zeros stay zeros.

        Raises:
            DataError: if the rows have another size or a row holds NaN or infinity.
        """
        rows = np.asarray(embeddings, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise DataError(f"embeddings must be (rows, {self.dim}), not {rows.shape}; {self._origin}")
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise DataError(f"row {bad[0]} of the embeddings holds NaN or infinity ({len(bad)} such rows)")
        if not self.state.normalize:
            return rows
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)

    @property
    def _origin(self) -> str:
        return f"they must come from {self.state.origin or 'the model that made the training embeddings'}"
