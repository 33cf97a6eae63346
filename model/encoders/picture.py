"""Picture to embedding: the classical descriptor, its blocks balanced, projected on principal components."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.config import Config
from model.encoders import descriptor
from model.encoders.base import Embeddings, Encoder, Takes
from model.errors import BundleError


class PictureState(Config):
    """The settings that are saved beside a :class:`PictureEncoder`'s arrays; ``descriptor`` is its version."""

    kind: Literal["picture"] = "picture"
    dim: int
    descriptor: int = descriptor.VERSION


class PictureEncoder(Encoder):
    """Mean ``(D,)``, scale ``(D,)`` and components ``(D, d)``, float32, of descriptors of D numbers.

    An embedding is ((descriptor - mean) scale) components. It is not normalised: its length tells how unusual a
    picture is.

    Raises:
        BundleError: if the shapes disagree or the descriptor has changed since the fit.
    """

    takes: ClassVar[Takes] = "image"

    def __init__(
        self,
        state: PictureState,
        mean: NDArray[np.float32],
        scale: NDArray[np.float32],
        components: NDArray[np.float32],
    ) -> None:
        """Keeps the arrays."""
        if state.descriptor != descriptor.VERSION:
            raise BundleError(
                f"the picture encoder was fitted on descriptor version {state.descriptor}, this code computes version "
                f"{descriptor.VERSION}: train again, or serve with the code that trained it"
            )
        if not mean.shape == scale.shape == components.shape[:1] or components.shape[1:] != (state.dim,):
            raise BundleError(
                f"dim {state.dim}, mean {mean.shape}, scale {scale.shape} and components {components.shape} do not "
                "fit; the picture encoder's files come from different runs"
            )
        self.state = state
        self.dim = state.dim
        self.mean = mean
        self.scale = scale
        self.components = components

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Embeddings ``(B, d)`` of B decoded pictures."""
        return self.project([features(image) for image in images])

    def project(self, descriptors: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> Embeddings:
        """Embeddings ``(B, d)`` of B descriptors ``(D,)``, row by row: a product of all would round by batch size."""
        embeddings = np.zeros((len(descriptors), self.dim), dtype=np.float32)
        for row, vector in enumerate(descriptors):
            embeddings[row] = ((vector - self.mean) * self.scale) @ self.components
        return embeddings


def features(image: Image.Image) -> NDArray[np.float32]:
    """The descriptor ``(D,)`` float32 of one decoded picture: its blocks, one after the other."""
    return np.concatenate(descriptor.describe(image))
