"""The picture encoder: batches, and files that do not fit."""

import numpy as np
import pytest
from PIL import Image

from model.encoders.descriptor import DIMS, VERSION
from model.encoders.picture import PictureEncoder, PictureState, features
from model.errors import BundleError

SIZE = sum(DIMS)


def encoder(state: PictureState | None = None, scales: int = SIZE) -> PictureEncoder:
    rng = np.random.default_rng(0)
    mean, components = rng.random(SIZE), rng.normal(size=(SIZE, 5))
    return PictureEncoder(
        state or PictureState(dim=5),
        mean.astype(np.float32),
        rng.random(scales).astype(np.float32),
        components.astype(np.float32),
    )


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)) for _ in range(4)]


def test_an_embedding_is_the_scaled_deviation_projected() -> None:
    made, picture = encoder(), pictures()[0]
    expected = ((features(picture).astype(np.float64) - made.mean) * made.scale) @ made.components
    np.testing.assert_allclose(made.encode_images([picture])[0], expected, rtol=1e-4)


def test_a_batch_gives_bitwise_what_each_picture_gives_alone() -> None:
    made = encoder()
    alone = np.concatenate([made.encode_images([picture]) for picture in pictures()])
    np.testing.assert_array_equal(made.encode_images(pictures()), alone)
    assert alone.dtype == np.float32


def test_an_encoder_of_another_descriptor_version_is_refused() -> None:
    with pytest.raises(BundleError, match="train again"):
        encoder(PictureState(dim=5, descriptor=VERSION + 1))


def test_arrays_of_another_size_are_refused() -> None:
    with pytest.raises(BundleError, match="different runs"):
        encoder(PictureState(dim=6))
    with pytest.raises(BundleError, match="different runs"):
        encoder(scales=7)
