"""Sentence-Transformers embeddings, with a tiny model built and saved on the spot."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel, BertTokenizer

from model.encoders.given import GivenEncoder, GivenState
from model.errors import ConfigError, DataError
from training.embeddings import hub_text
from training.embeddings.hub_text import SentenceTransformersSource, embed_sentences, sentence
from training.embeddings.sources import Inputs
from training.items import Item

MakeInputs = Callable[[str], Inputs]
WORDS = [
    "red",
    "green",
    "blue",
    "orange",
    "guitar",
    "piano",
    "гитара",
    "loud",
    "quiet",
    "old",
    "new",
    "heavy",
    ".",
    ",",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a BERT of one layer and 16 dimensions, saved as a Sentence-Transformers model."""
    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    SentenceTransformer(str(folder / "bert"), device="cpu").save(str(folder / "model"))  # with mean pooling
    return str(folder / "model")


def source(model: str, **settings: object) -> SentenceTransformersSource:
    return SentenceTransformersSource.model_validate({"model": model, "device": "cpu", **settings})


def test_embeddings_are_the_models_own(tiny: str, inputs: MakeInputs, items: list[Item]) -> None:
    embedded = embed_sentences(source(tiny, batch=7), inputs("text"))
    expected = SentenceTransformer(tiny, device="cpu").encode([sentence(item) for item in items])
    np.testing.assert_allclose(embedded.rows.values, expected, atol=1e-5)
    assert embedded.rows.values.dtype == np.float32
    assert embedded.present.all()


def test_serving_is_told_to_expect_embeddings_of_that_model(tiny: str, inputs: MakeInputs) -> None:
    embedded = embed_sentences(source(tiny, normalize=True), inputs("text"))
    assert isinstance(embedded.encoder, GivenEncoder)
    assert embedded.encoder.state == GivenState(dim=16, normalize=True, origin=tiny)
    np.testing.assert_allclose(np.linalg.norm(embedded.rows.values, axis=1), 1, rtol=1e-5)


def test_an_item_without_text_is_absent(tiny: str, inputs: MakeInputs) -> None:
    given = inputs("text")
    items = [Item(id="a", title="red guitar"), Item(id="b", title=" "), Item(id="c", text="old")]
    embedded = embed_sentences(source(tiny), replace(given, items=items))
    assert embedded.present.tolist() == [True, False, True]


def test_a_killed_run_goes_on_where_it_was(tiny: str, inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_text, "CHUNK", 16)
    expected = embed_sentences(source(tiny), inputs("whole"))
    read: list[str] = []

    def killed_in_the_third_chunk(item: Item) -> str:
        read.append(item.id)
        if len(read) == 40:
            raise KeyboardInterrupt
        return sentence(item)

    monkeypatch.setattr(hub_text, "sentence", killed_in_the_third_chunk)
    with pytest.raises(KeyboardInterrupt):
        embed_sentences(source(tiny), inputs("killed"))
    resumed = embed_sentences(source(tiny), inputs("killed"))
    np.testing.assert_array_equal(resumed.rows.values, expected.rows.values)
    assert read[40:] == [f"i{row}" for row in range(32, 60)]


def test_an_embedding_that_is_not_finite_is_a_counted_skip_or_a_named_error(
    tiny: str, inputs: MakeInputs, tmp_path: Path
) -> None:
    shutil.copytree(tiny, tmp_path / "broken")
    file = tmp_path / "broken/model.safetensors"
    weights = load_file(file)
    weights["embeddings.word_embeddings.weight"][5 + WORDS.index("orange")] = torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    embedded = embed_sentences(source(str(tmp_path / "broken")), inputs("skip"))
    orange = list(range(3, 60, 4))
    assert list(embedded.rows.skipped) == orange
    assert np.flatnonzero(~embedded.present).tolist() == orange
    with pytest.raises(DataError, match=r"item 'i3' \(row 3\).*NaN"):
        embed_sentences(source(str(tmp_path / "broken"), on_bad="error"), inputs("error"))


def test_a_model_that_cannot_be_found_is_named(inputs: MakeInputs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*hub model or a local folder"):
        embed_sentences(source(str(tmp_path / "nowhere")), inputs("text"))


def test_a_missing_library_names_the_group_to_install(inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match="dependency group 'hub'"):
        embed_sentences(source("any"), inputs("text"))
