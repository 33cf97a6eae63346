"""New items get the leaves that the offline rule would give them, whatever they lack and whoever embeds them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.assignment import assign
from model.bundle import Bundle
from model.encoders import decode, load_encoder
from model.errors import BundleError, DataError
from model.imputation import Imputer
from model.item_encoder import ItemEncoder
from model.item_inputs import ItemInputs
from model.live_catalog import LiveCatalog
from tests.live_bundles import TEXT_DIM, inputs_of, picture
from training.onnx_search import open_graph


@pytest.fixture(scope="module")
def bundle(live_bundle: Path) -> Bundle:
    return Bundle.load(live_bundle)


@pytest.fixture(scope="module")
def encoder(bundle: Bundle) -> ItemEncoder:
    loaded = ItemEncoder.load(bundle)
    assert loaded is not None
    return loaded


def test_latents_are_those_of_the_offline_encoders_imputer_and_quantizer(bundle: Bundle, encoder: ItemEncoder) -> None:
    text, image = (load_encoder(bundle.folder / "encoders" / name) for name in ("text", "image"))
    imputer = Imputer.load(bundle.folder / "encoders" / "imputation.safetensors")
    items = [inputs_of(number) for number in range(7)]
    encoded = encoder.encode(items)
    assert encoded.present.tolist() == [[True] * 7, [number % 3 == 0 for number in range(7)]]
    for number, item in enumerate(items):
        rows = {"text": text.encode_texts([item])}
        if item.image is not None:
            rows["image"] = image.encode_images([decode(item.image)])
        else:
            rows["image"] = imputer.impute("image", rows)
        assert bundle.quantizer is not None
        outputs = open_graph(bundle.quantizer).run(["text_latent", "image_latent"], rows)
        np.testing.assert_allclose(encoded.latents[:, number], np.concatenate(outputs), rtol=1e-5, atol=1e-6)


def test_claims_follow_the_rule_with_the_catalogs_ids_reserved(bundle: Bundle, encoder: ItemEncoder) -> None:
    catalog = LiveCatalog.of(bundle.catalog())
    latents = encoder.encode([inputs_of(number) for number in range(5)]).latents
    for number in range(5):
        claim = encoder.claim("new", latents[:, number], catalog)
        for modality in range(2):
            codebooks, reserved = encoder.codebooks[modality], catalog.base.codes[modality]
            expected = assign(latents[modality, number][None], codebooks, reserved)
            assert claim.first(modality, 1) == [expected.codes[0].tobytes()]
            assert claim.shared[modality] == expected.greedy[0].tobytes()
            everything = list(claim.leaves(modality))
            assert len(everything) == len(set(everything))
            assert not set(everything) & {row.tobytes() for row in reserved}


def test_the_callers_embedding_takes_the_place_of_the_encoders(bundle: Bundle, encoder: ItemEncoder) -> None:
    item = inputs_of(1)
    embedding = load_encoder(bundle.folder / "encoders" / "text").encode_texts([item])[0]
    given = ItemInputs(embeddings={"text": tuple(embedding.tolist())})
    np.testing.assert_array_equal(encoder.encode([given]).latents, encoder.encode([item]).latents)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (ItemInputs(image=b"no picture"), "does not decode"),
        (ItemInputs(embeddings={"text": (1.0, 2.0)}), f"has 2 numbers, this model takes {TEXT_DIM}"),
        (ItemInputs(embeddings={"text": (1e300,) * TEXT_DIM}), "finite"),
        (ItemInputs(embeddings={"sound": (1.0,)}), "sound"),
    ],
)
def test_inputs_that_cannot_be_used_are_named_or_count_as_missing(
    encoder: ItemEncoder, inputs: ItemInputs, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        encoder.encode([inputs])
    assert not encoder.encode([inputs], strict=False).present.any()


def test_an_embedding_made_for_another_model_leaves_the_place_to_the_encoder(encoder: ItemEncoder) -> None:
    inputs = inputs_of(3)
    foreign = inputs.model_copy(update={"embeddings": {"text": (1.0, 2.0)}})
    ours, theirs = encoder.encode([inputs]), encoder.encode([foreign], strict=False)
    np.testing.assert_array_equal(theirs.latents, ours.latents)


def test_an_item_without_anything_is_the_mean_of_all(encoder: ItemEncoder) -> None:
    encoded = encoder.encode([ItemInputs(), ItemInputs(title="unheard"), inputs_of(3)])
    assert encoded.present.tolist() == [[False, False, True], [False, False, True]]
    np.testing.assert_array_equal(encoded.latents[:, 0], encoded.latents[:, 1])
    assert np.isfinite(encoded.latents).all()


def test_a_bundle_with_imported_ids_has_no_encoder(bundle: Bundle) -> None:
    files = {name: sha256 for name, sha256 in bundle.manifest.files.items() if name != "quantizer.onnx"}
    imported = replace(bundle, manifest=bundle.manifest.model_copy(update={"files": files}))
    assert ItemEncoder.load(imported) is None


def test_a_bundle_that_a_training_replaced_after_it_was_opened_gives_no_codes(
    bundle: Bundle, retrained_bundle: Path
) -> None:
    """It would give new items of the old ID space the codes of another one."""
    with pytest.raises(BundleError, match="the manifest says"):
        ItemEncoder.load(replace(bundle, folder=retrained_bundle))


def test_a_part_of_another_size_or_a_missing_one_is_named(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="encoder"):
        ItemEncoder.load(replace(bundle, folder=_copy(bundle, tmp_path / "a", without="encoders/text/encoder.json")))
    with pytest.raises(BundleError, match="codebooks"):
        ItemEncoder.load(replace(bundle, folder=_copy(bundle, tmp_path / "b", without="codebooks.safetensors")))


def _copy(bundle: Bundle, folder: Path, without: str) -> Path:
    """A bundle's folder less one file."""
    for name in bundle.manifest.files:
        if name != without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((bundle.folder / name).read_bytes())
    return folder


def test_pictures_differ(encoder: ItemEncoder) -> None:
    latents = encoder.encode([ItemInputs(image=picture(seed)) for seed in (1, 2, 1)]).latents
    assert not np.array_equal(latents[1, 0], latents[1, 1])
    np.testing.assert_allclose(latents[1, 0], latents[1, 2], rtol=1e-5)
