"""The embed stage: what it writes, that it can be killed at any time, and that serving computes the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from model.encoders import load_encoder
from model.errors import DataError
from model.imputation import Imputer
from training.bad_rows import RowRules
from training.embeddings import EmbeddingsConfig, offline_image, run
from training.images import open_images
from training.items import Item, write_items
from training.readers.item_rows import read_item_rows
from training.split import SplitConfig

CONFIG = EmbeddingsConfig.model_validate(
    {"modalities": {"text": {"kind": "tfidf", "dim": 6}, "image": {"kind": "picture", "dim": 5}}}
)


@pytest.fixture
def prepare(tmp_path: Path, items: list[Item]) -> Path:
    """What the prepare stage left; item 3 has nothing that can be embedded."""
    folder = tmp_path / "prepare"
    folder.mkdir()
    write_items(folder / "items.jsonl", [*items[:3], Item(id="i3"), *items[4:]])
    return folder


@pytest.fixture
def out(tmp_path: Path, prepare: Path, data: Path) -> Path:
    """The folder of a finished run."""
    run(CONFIG, SplitConfig(), prepare, data, tmp_path / "out")
    return tmp_path / "out"


def files(folder: Path) -> dict[str, bytes]:
    """Every file's bytes but the report's, which holds times."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del found["report.json"]
    return found


def test_every_item_has_a_float32_row_in_every_modality(out: Path, items: list[Item]) -> None:
    for name, dim in (("text", 6), ("image", 5)):
        values = np.load(out / f"{name}.npy")
        assert (values.shape, values.dtype) == ((60, dim), np.float32)
        assert np.isfinite(values).all()
        assert values.any(axis=1).all()
    present = np.load(out / "image.present.npy")
    assert present.dtype == bool
    assert present.tolist() == [item.image is not None and item.id != "i3" for item in items]
    assert set(files(out)) == {
        *("text.npy", "text.present.npy", "image.npy", "image.present.npy", "imputation.safetensors"),
        *("encoders/text/encoder.json", "encoders/text/arrays.safetensors", "encoders/text/terms.json"),
        *("encoders/image/encoder.json", "encoders/image/arrays.safetensors"),
    }


def test_serving_computes_the_same_embeddings_from_the_files(out: Path, items: list[Item], data: Path) -> None:
    text, image = (load_encoder(out / "encoders" / name) for name in ("text", "image"))
    imputer = Imputer.load(out / "imputation.safetensors")
    values = {name: np.load(out / f"{name}.npy") for name in ("text", "image")}
    embedded = text.encode_texts([items[5]])
    np.testing.assert_array_equal(embedded[0], values["text"][5])
    np.testing.assert_array_equal(image.encode_images([Image.open(data / "images/i6.png")])[0], values["image"][6])
    np.testing.assert_allclose(imputer.impute("image", {"text": embedded})[0], values["image"][5], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(imputer.impute("image", {})[0], values["image"][3])


def test_the_report_counts_what_is_there_and_what_is_not(out: Path) -> None:
    report = json.loads((out / "report.json").read_text())
    assert report["items"] == 60
    assert report["without_any_modality"] == 1
    assert report["modalities"]["text"]["present"] == 59
    image = report["modalities"]["image"]
    assert (image["present"], image["absent"], image["skipped"], image["dim"]) == (47, 13, 0, 5)
    assert set(report["imputation"]) == {"text to image", "image to text"}


def test_skipped_items_are_named_in_the_report(prepare: Path, data: Path, tmp_path: Path) -> None:
    (data / "images/i7.png").write_bytes(b"no picture")
    run(CONFIG, SplitConfig(), prepare, data, tmp_path / "out")
    image = json.loads((tmp_path / "out/report.json").read_text())["modalities"]["image"]
    assert (image["present"], image["absent"], image["skipped"]) == (46, 13, 1)
    assert "does not decode" in image["first_skipped"]["i7"]


def test_a_second_run_writes_the_same_bytes(out: Path, prepare: Path, data: Path, tmp_path: Path) -> None:
    run(CONFIG, SplitConfig(), prepare, data, tmp_path / "again")
    assert files(tmp_path / "again") == files(out)


def test_a_run_that_was_killed_ends_with_the_same_bytes(
    out: Path, prepare: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import os, sys
from pathlib import Path
from training.embeddings import EmbeddingsConfig, offline_image, run
from training.split import SplitConfig
prepare, data, out = map(Path, sys.argv[2:])
described, features = [], offline_image.features
def killed(image):
    described.append(image)
    if len(described) == 30:
        os.kill(os.getpid(), 9)
    return features(image)
offline_image.CHUNK, offline_image.features = 8, killed
run(EmbeddingsConfig.model_validate_json(sys.argv[1]), SplitConfig(), prepare, data, out)
"""
    killed = tmp_path / "killed"
    arguments = [CONFIG.model_dump_json(), str(prepare), str(data), str(killed)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, check=False)
    assert done.returncode == -9
    assert len(list((killed / "unfinished/image").glob("*.npz"))) >= 3
    monkeypatch.setattr(offline_image, "CHUNK", 8)
    run(CONFIG, SplitConfig(), prepare, data, killed)
    assert files(killed) == files(out)


def test_work_on_other_items_is_not_taken_up(items: list[Item], prepare: Path, data: Path, tmp_path: Path) -> None:
    stale, fresh, other = tmp_path / "stale", tmp_path / "fresh", tmp_path / "other"
    (data / "images/i7.png").rename(tmp_path / "i7.png")
    strict = CONFIG.model_dump()
    strict["modalities"]["image"]["on_bad"] = "error"
    with pytest.raises(DataError, match="i7"):
        run(EmbeddingsConfig.model_validate(strict), SplitConfig(), prepare, data, stale)
    assert (stale / "unfinished/text").exists()
    (tmp_path / "i7.png").rename(data / "images/i7.png")
    other.mkdir()
    write_items(other / "items.jsonl", reversed(items))
    for folder in (stale, fresh):
        run(EmbeddingsConfig.model_validate(strict), SplitConfig(), other, data, folder)
    assert files(stale) == files(fresh)


def test_a_modality_that_no_item_has_is_refused(prepare: Path, data: Path, tmp_path: Path) -> None:
    (data / "order.txt").write_text("i1\n")
    np.save(data / "zeros.npy", np.zeros((1, 4), dtype=np.float32))
    source = {"kind": "precomputed", "path": "zeros.npy", "ids": "order.txt"}
    with pytest.raises(DataError, match="no item has an embedding of the modality 'sound'"):
        run(
            EmbeddingsConfig.model_validate({"modalities": {"sound": source}}),
            SplitConfig(),
            prepare,
            data,
            tmp_path / "out",
        )


def test_one_modality_alone_needs_no_imputation(prepare: Path, data: Path, tmp_path: Path) -> None:
    only_text = EmbeddingsConfig.model_validate({"modalities": {"text": {"kind": "tfidf"}}})
    run(only_text, SplitConfig(), prepare, data, tmp_path / "out")
    present = np.load(tmp_path / "out/text.present.npy")
    values = np.load(tmp_path / "out/text.npy")
    np.testing.assert_allclose(values[~present][0], values[present].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"../text": {"kind": "tfidf"}}, {"text": {"kind": "word2vec"}}, {"text": {"kind": "tfidf", "dims": 3}}],
)
def test_a_wrong_configuration_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        EmbeddingsConfig.model_validate({"modalities": wrong})


def neighbours_share(values: np.ndarray, categories: np.ndarray) -> tuple[float, float]:
    """How often an item's 10 nearest others share a category with it, and how often any other does."""
    squares = np.square(values).sum(axis=1)
    distances = squares[:, None] - 2 * values @ values.T + squares
    np.fill_diagonal(distances, np.inf)
    shared = categories.astype(int) @ categories.T.astype(int) > 0
    nearest = np.argsort(distances, axis=1)[:, :10]
    return float(np.take_along_axis(shared, nearest, axis=1).mean()), float(shared[np.isfinite(distances)].mean())


@pytest.mark.skipif("MACREC_DATA" not in os.environ, reason="MACREC_DATA does not name the folder with ml-100k-mm")
def test_neighbours_of_real_films_share_genres_more_often_than_chance(tmp_path: Path) -> None:
    data = Path(os.environ["MACREC_DATA"]) / "ml-100k-mm"
    if not data.exists():
        pytest.skip(f"{data} is absent")
    items = read_item_rows(data / "items.jsonl", open_images(data), RowRules(), decode=False).items
    write_items(tmp_path / "items.jsonl", items)
    run(EmbeddingsConfig(), SplitConfig(), tmp_path, data, tmp_path / "out")
    names = sorted({name for item in items for name in item.category})
    categories = np.array([[name in item.category for name in names] for item in items])
    for name, times in (("text", 2.0), ("image", 1.15)):
        present = np.load(tmp_path / f"out/{name}.present.npy")
        near, chance = neighbours_share(np.load(tmp_path / f"out/{name}.npy")[present], categories[present])
        assert near > times * chance
