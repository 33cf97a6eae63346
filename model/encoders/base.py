"""What an encoder is: something that turns one kind of input into embeddings, the same in training and in serving.

It knows nothing of catalogs, quantizers or files: see :mod:`model.encoders.state` for saving and loading.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.errors import DataError

Embeddings = NDArray[np.float32]
Takes = Literal["text", "image", "embedding"]


class TextFields(Protocol):
    """The fields of an item that a text encoder reads; anything that has them will do."""

    @property
    def title(self) -> str:
        """The item's name."""

    @property
    def text(self) -> str:
        """The item's description."""

    @property
    def category(self) -> tuple[str, ...]:
        """The item's categories."""


class Encoder:
    """Turns inputs of the kind ``takes`` into rows of ``dim`` numbers; a row of zeros means "nothing to go by".

    A subclass implements the one method that fits its ``takes``; the others refuse, naming the right one. Every row is
    computed apart from the others, so an item gets the same vector alone and in any batch.
    """

    takes: ClassVar[Takes]
    dim: int

    def encode_texts(self, items: Sequence[TextFields]) -> Embeddings:
        """Embeddings ``(B, d)`` float32 of B items' texts."""
        raise self._refusal("text", items)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Embeddings ``(B, d)`` float32 of B decoded pictures of any mode and size."""
        raise self._refusal("image", images)

    def accept(self, embeddings: Embeddings) -> Embeddings:
        """Embeddings ``(B, d)`` float32 as the quantizer was trained on, of B raw ones made by the caller."""
        raise self._refusal("embedding", embeddings)

    def _refusal(self, given: Takes, rows: Sequence[object] | Embeddings) -> DataError:
        return DataError(f"this encoder takes each item's {self.takes}, not its {given} ({len(rows)} given)")
