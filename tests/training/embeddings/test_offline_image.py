"""Offline picture embeddings: principal components as scikit-learn's, missing and broken pictures, killed runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from model.encoders import load_encoder, save_encoder
from model.encoders.descriptor import DIMS
from model.encoders.picture import features
from model.errors import DataError
from training.embeddings import offline_image
from training.embeddings.offline_image import PictureSource, embed_pictures
from training.embeddings.sources import Inputs
from training.items import Item

MakeInputs = Callable[[str], Inputs]
CONFIG = PictureSource(dim=8)


def test_embeddings_equal_scikit_learns(inputs: MakeInputs, items: list[Item], data: Path) -> None:
    embedded = embed_pictures(CONFIG, inputs("image"))
    pictures = [Image.open(data / "images" / item.image) for item in items if item.image]
    described = np.array([features(picture) for picture in pictures], dtype=np.float64)
    blocks = np.split(described - described.mean(axis=0), np.cumsum(DIMS)[:-1], axis=1)
    balanced = np.concatenate([block / np.sqrt(block.var(axis=0).sum()) for block in blocks], axis=1)
    expected = PCA(8, random_state=0).fit_transform(balanced)
    np.testing.assert_allclose(embedded.rows.values[embedded.present], expected, atol=1e-4)


def test_items_without_an_image_are_absent_and_not_skipped(inputs: MakeInputs, items: list[Item]) -> None:
    embedded = embed_pictures(CONFIG, inputs("image"))
    assert embedded.present.tolist() == [item.image is not None for item in items]
    assert embedded.rows.skipped == {}


def test_a_new_picture_is_embedded_as_in_training_also_from_disk(
    inputs: MakeInputs, data: Path, tmp_path: Path
) -> None:
    embedded = embed_pictures(CONFIG, inputs("image"))
    save_encoder(embedded.encoder, tmp_path / "encoder")
    picture = Image.open(data / "images/i7.png")
    np.testing.assert_array_equal(
        load_encoder(tmp_path / "encoder").encode_images([picture])[0], embedded.rows.values[7]
    )


def test_pictures_of_one_colour_are_nearer(inputs: MakeInputs) -> None:
    embedded = embed_pictures(CONFIG, inputs("image"))
    rows = np.flatnonzero(embedded.present)
    distances = np.linalg.norm(embedded.rows.values[rows, None] - embedded.rows.values[rows], axis=2)
    same = rows[:, None] % 4 == rows % 4
    assert distances[same].mean() < distances[~same].mean()


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_broken_picture_is_a_counted_skip_or_a_named_error(inputs: MakeInputs, data: Path, damage: str) -> None:
    path = data / "images/i7.png"
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:40])
    embedded = embed_pictures(CONFIG, inputs("skip"))
    assert list(embedded.rows.skipped) == [7]
    assert "i7.png" in embedded.rows.skipped[7]
    assert not embedded.present[7]
    with pytest.raises(DataError, match=r"item 'i7' \(row 7\).*i7\.png"):
        embed_pictures(PictureSource(dim=8, on_bad="error"), inputs("error"))


def test_a_killed_run_goes_on_where_it_was(inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_image, "CHUNK", 16)
    expected = embed_pictures(CONFIG, inputs("whole"))
    described: list[Image.Image] = []

    def killed_at_the_30th(image: Image.Image) -> np.ndarray:
        described.append(image)
        if len(described) == 30:
            raise KeyboardInterrupt
        return features(image)

    monkeypatch.setattr(offline_image, "features", killed_at_the_30th)
    with pytest.raises(KeyboardInterrupt):
        embed_pictures(CONFIG, inputs("killed"))
    resumed = embed_pictures(CONFIG, inputs("killed"))
    np.testing.assert_array_equal(resumed.rows.values, expected.rows.values)
    pictures = int(expected.present.sum())
    assert len(described) < 30 + pictures - 16  # the finished chunks were not described again


def test_a_folder_without_images_is_refused(inputs: MakeInputs, data: Path) -> None:
    (data / "images").rename(data / "elsewhere")
    with pytest.raises(DataError, match="holds no images"):
        embed_pictures(CONFIG, inputs("image"))
    assert embed_pictures(PictureSource(dim=8, images="elsewhere"), inputs("image")).present.any()


def test_pictures_that_are_all_alike_are_refused(inputs: MakeInputs, data: Path) -> None:
    for path in (data / "images").iterdir():
        Image.new("RGB", (9, 9), "red").save(path)
    with pytest.raises(DataError, match="48 pictures, of which no two differ"):
        embed_pictures(CONFIG, inputs("image"))


def test_too_few_pictures_are_refused(inputs: MakeInputs, data: Path) -> None:
    for path in (data / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="0 pictures"):
        embed_pictures(CONFIG, inputs("image"))


def test_fitting_on_a_sample_still_embeds_every_picture(inputs: MakeInputs, items: list[Item]) -> None:
    embedded = embed_pictures(PictureSource(dim=4, fit_items=10), inputs("image"))
    assert embedded.present.tolist() == [item.image is not None for item in items]
