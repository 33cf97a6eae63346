"""Embeddings are checked where they are read, and the message names the file and the row."""

from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from tests.training.embeddings_on_disk import write_embeddings
from training.embedded_items import read_embedded_items


def test_what_the_embed_stage_wrote_is_read_back(tmp_path: Path) -> None:
    items = read_embedded_items(write_embeddings(tmp_path), ("text", "image"))
    assert len(items) == 60
    assert items.widths == (6, 7)
    assert items.present.sum(axis=1).tolist() == [60, 55]


def test_the_fingerprint_follows_every_value(tmp_path: Path) -> None:
    first = read_embedded_items(write_embeddings(tmp_path), ("text", "image")).fingerprint()
    assert read_embedded_items(tmp_path, ("text", "image")).fingerprint() == first
    rows = np.load(tmp_path / "image.npy")
    rows[17, 3] += 1
    np.save(tmp_path / "image.npy", rows)
    assert read_embedded_items(tmp_path, ("text", "image")).fingerprint() != first


def test_a_missing_file_says_which_stage_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sound\.npy.*embed stage"):
        read_embedded_items(write_embeddings(tmp_path), ("text", "sound"))


def test_nan_is_named_with_its_row(tmp_path: Path) -> None:
    write_embeddings(tmp_path)
    rows = np.load(tmp_path / "text.npy")
    rows[41, 0] = np.nan
    np.save(tmp_path / "text.npy", rows)
    with pytest.raises(DataError, match=r"text\.npy.*row 41"):
        read_embedded_items(tmp_path, ("text",))


def test_modalities_of_different_length_and_of_nobody_are_refused(tmp_path: Path) -> None:
    write_embeddings(tmp_path)
    np.save(tmp_path / "image.present.npy", np.zeros(60, dtype=bool))
    with pytest.raises(DataError, match="no item has the modality 'image'"):
        read_embedded_items(tmp_path, ("text", "image"))
    np.save(tmp_path / "image.npy", np.zeros((59, 7), dtype=np.float32))
    with pytest.raises(DataError, match="differ in their number of items"):
        read_embedded_items(tmp_path, ("text", "image"))
    np.save(tmp_path / "image.npy", np.zeros((60, 7)))
    with pytest.raises(DataError, match="float32"):
        read_embedded_items(tmp_path, ("text", "image"))
