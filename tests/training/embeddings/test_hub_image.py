"""CLIP embeddings, with a tiny model built and saved on the spot."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from model.encoders.given import GivenEncoder
from model.errors import ConfigError, DataError
from training.embeddings.hub_image import ClipSource, embed_clip
from training.embeddings.sources import Inputs
from training.items import Item

MakeInputs = Callable[[str], Inputs]
LAYER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {**LAYER, "vocab_size": 20, "max_position_embeddings": 8}
VISION = {**LAYER, "image_size": 32, "patch_size": 16}


@pytest.fixture(scope="module", params=["clip", "siglip"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a model of one layer."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    if request.param == "clip":
        CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).save_pretrained(folder)
        size = {"height": 32, "width": 32}
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    else:
        SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).save_pretrained(folder)
        SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def source(model: str, **settings: object) -> ClipSource:
    return ClipSource.model_validate({"model": model, "device": "cpu", **settings})


def test_each_picture_gets_the_models_features(tiny: str, inputs: MakeInputs, items: list[Item], data: Path) -> None:
    embedded = embed_clip(source(tiny, batch=7, normalize=True), inputs("image"))
    assert embedded.present.tolist() == [item.image is not None for item in items]
    alone = embed_clip(source(tiny, batch=1, normalize=True), inputs("alone"))
    np.testing.assert_allclose(embedded.rows.values, alone.rows.values, atol=1e-5)
    lengths = np.linalg.norm(embedded.rows.values[embedded.present], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    assert isinstance(embedded.encoder, GivenEncoder)
    assert embedded.encoder.dim == embedded.rows.values.shape[1]


def test_equal_pictures_get_equal_embeddings_and_others_do_not(tiny: str, inputs: MakeInputs, data: Path) -> None:
    (data / "images/i2.png").write_bytes((data / "images/i1.png").read_bytes())
    values = embed_clip(source(tiny), inputs("image")).rows.values
    np.testing.assert_allclose(values[1], values[2], atol=1e-6)
    assert np.abs(values[1] - values[3]).max() > 1e-3


def test_a_broken_picture_is_a_counted_skip_or_a_named_error(tiny: str, inputs: MakeInputs, data: Path) -> None:
    (data / "images/i7.png").write_bytes(b"no picture")
    embedded = embed_clip(source(tiny), inputs("skip"))
    assert list(embedded.rows.skipped) == [7]
    assert not embedded.present[7]
    with pytest.raises(DataError, match=r"item 'i7' \(row 7\)"):
        embed_clip(source(tiny, on_bad="error"), inputs("error"))


def test_a_model_without_image_features_is_refused(inputs: MakeInputs, tmp_path: Path) -> None:
    BertModel(BertConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=1)).save_pretrained(tmp_path / "bert")
    CLIPImageProcessor().save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match="BertModel, not a CLIP or SigLIP"):
        embed_clip(source(str(tmp_path / "bert")), inputs("image"))


def test_a_model_that_cannot_be_found_is_named(inputs: MakeInputs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*hub model or a local folder"):
        embed_clip(source(str(tmp_path / "nowhere")), inputs("image"))


def test_a_missing_library_names_the_group_to_install(inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match="dependency group 'hub'"):
        embed_clip(source("any"), inputs("image"))
