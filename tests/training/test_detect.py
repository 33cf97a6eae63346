"""Without a configuration the folder's own files decide of its form and of what embeds its items."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.errors import ConfigError
from training.config import RunConfig
from training.detect import detect_config

ALL = {"id": "a", "title": "A chair"}


def write_items(folder: Path, *items: dict[str, Any]) -> None:
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def kinds(config: RunConfig) -> dict[str, str]:
    return {name: source.kind for name, source in config.embed.modalities.items()}


def test_words_and_pictures_are_modalities(tmp_path: Path) -> None:
    write_items(tmp_path, {"id": "b"}, ALL)
    (tmp_path / "images").mkdir()
    found = detect_config(tmp_path)
    assert kinds(found) == {"text": "tfidf", "image": "picture", "collaborative": "cooccurrence"}
    assert not found.imports_ids


@pytest.mark.parametrize("item", [{"id": "a"}, {"id": "a", "title": "", "category": []}])
def test_what_is_not_there_is_no_modality(tmp_path: Path, item: dict[str, Any]) -> None:
    write_items(tmp_path, item)
    assert kinds(detect_config(tmp_path)) == {"collaborative": "cooccurrence"}
    (tmp_path / "images.zip").write_bytes(b"")
    assert list(kinds(detect_config(tmp_path))) == ["image", "collaborative"]


def test_given_arrays_take_the_place_of_encoders(tmp_path: Path) -> None:
    write_items(tmp_path, ALL)
    for name in ("text", "image"):
        np.save(tmp_path / f"{name}_emb.npy", np.ones((1, 4)))
    found = detect_config(tmp_path)
    assert kinds(found) == {"text": "precomputed", "image": "precomputed", "collaborative": "cooccurrence"}
    assert "image_emb.npy" in found.embed.modalities["image"].model_dump().values()


@pytest.mark.parametrize("damaged", [b"{", b"\xff\n", b"[1]\n"])
def test_damaged_items_are_left_to_the_stage_that_reads_them(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "items.jsonl").write_bytes(damaged)
    detect_config(tmp_path)
    detect_config(tmp_path / "nowhere")


def test_ready_ids_are_imported_by_the_names_of_their_files(tmp_path: Path) -> None:
    names = ("inter", "index_vitemb", "index_lemb", "index_audio")
    for name in names:
        (tmp_path / f"Games.{name}.json").write_text("{}")
    found = detect_config(tmp_path)
    assert found.imports_ids
    files = {"text": "index_lemb.json", "image": "index_vitemb.json", "audio": "index_audio.json"}
    assert found.prepare.lcrec.index_files == files
    assert list(found.prepare.lcrec.index_files) == ["text", "image", "audio"]
    (tmp_path / "Games.index.json").write_text("{}")
    for name in names[1:]:
        (tmp_path / f"Games.{name}.json").unlink()
    assert detect_config(tmp_path).prepare.lcrec.index_files == {"text": "index.json"}


def test_ids_that_are_called_like_another_list_need_a_configuration(tmp_path: Path) -> None:
    for name in ("inter", "index_fused"):
        (tmp_path / f"Games.{name}.json").write_text("{}")
    with pytest.raises(ConfigError, match="needs a configuration of its own"):
        detect_config(tmp_path)
