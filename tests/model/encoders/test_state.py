"""Encoders on disk: what is saved comes back bit for bit, and damage is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.encoders import load_encoder, save_encoder
from model.encoders.descriptor import DIMS
from model.encoders.given import GivenEncoder, GivenState
from model.encoders.picture import PictureEncoder, PictureState
from model.encoders.terms import TermConfig
from model.encoders.tfidf import TfidfEncoder, TfidfState
from model.errors import BundleError
from training.items import Item

ITEM = Item(id="1", title="Ünïcode 弦楽器", text="гитара guitar")


def text_encoder() -> TfidfEncoder:
    rng = np.random.default_rng(0)
    terms = ["guitar", "ünïcode", "弦楽", "гитара"]
    idf, components = rng.random(4), rng.normal(size=(4, 3))
    state = TfidfState(dim=3, terms=TermConfig(title=2))
    return TfidfEncoder(state, terms, idf.astype(np.float32), components.astype(np.float32))


def picture_encoder() -> PictureEncoder:
    rng = np.random.default_rng(0)
    size = sum(DIMS)
    arrays = (rng.random(size), rng.random(size), rng.normal(size=(size, 3)))
    return PictureEncoder(PictureState(dim=3), *(array.astype(np.float32) for array in arrays))


def test_a_text_encoder_comes_back_bit_for_bit(tmp_path: Path) -> None:
    save_encoder(text_encoder(), tmp_path)
    loaded = load_encoder(tmp_path)
    assert (loaded.takes, loaded.dim) == ("text", 3)
    np.testing.assert_array_equal(loaded.encode_texts([ITEM]), text_encoder().encode_texts([ITEM]))


def test_a_picture_encoder_comes_back_bit_for_bit(tmp_path: Path) -> None:
    picture = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50)
    save_encoder(picture_encoder(), tmp_path)
    loaded = load_encoder(tmp_path)
    assert (loaded.takes, loaded.dim) == ("image", 3)
    np.testing.assert_array_equal(loaded.encode_images([picture]), picture_encoder().encode_images([picture]))


def test_the_state_of_given_embeddings_comes_back(tmp_path: Path) -> None:
    state = GivenState(dim=7, normalize=True, origin="some/model")
    save_encoder(GivenEncoder(state), tmp_path)
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, GivenEncoder)
    assert (loaded.takes, loaded.state) == ("embedding", state)


@pytest.mark.parametrize("name", ["encoder.json", "arrays.safetensors", "terms.json"])
def test_a_missing_or_damaged_file_is_a_bundle_error(tmp_path: Path, name: str) -> None:
    save_encoder(text_encoder(), tmp_path)
    (tmp_path / name).write_bytes(b"\x00damaged")
    with pytest.raises(BundleError, match="cannot be read"):
        load_encoder(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        load_encoder(tmp_path)


def test_terms_of_another_run_are_refused(tmp_path: Path) -> None:
    save_encoder(text_encoder(), tmp_path)
    (tmp_path / "terms.json").write_text(json.dumps(["guitar"]))
    with pytest.raises(BundleError, match="different runs"):
        load_encoder(tmp_path)


def test_arrays_of_another_kind_are_refused(tmp_path: Path) -> None:
    save_encoder(text_encoder(), tmp_path / "text")
    save_encoder(picture_encoder(), tmp_path / "image")
    (tmp_path / "text/arrays.safetensors").replace(tmp_path / "image/arrays.safetensors")
    with pytest.raises(BundleError, match="lacks 'mean'"):
        load_encoder(tmp_path / "image")


def test_saving_the_same_encoder_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_encoder(text_encoder(), tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
