"""The assign stage: files, unique IDs, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import ConfigError, DataError
from model.quantizer import CrossModalQuantizer, QuantizerConfig
from model.semantic_ids import IdSpace
from tests.training.embeddings_on_disk import write_embeddings
from training.assign_ids import AssignIdsConfig, run
from training.fit_quantizer import write_quantizer
from training.id_space_file import read_id_space, write_id_space

CPU = AssignIdsConfig(batch=16, device="cpu")


def untrained_quantizer(folder: Path, codes: int) -> Path:
    torch.manual_seed(0)
    model = CrossModalQuantizer(
        QuantizerConfig(
            modalities=("text", "image"), inputs=(6, 7), levels=3, codes=codes, projection=8, widths=(8,), latent=4
        )
    )
    write_quantizer(model, folder)
    return folder


def test_every_item_gets_its_own_id_in_every_modality(tmp_path: Path) -> None:
    embeddings, quantizer = write_embeddings(tmp_path / "embed"), untrained_quantizer(tmp_path / "quantizer", 16)
    run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "out")
    codes = np.load(tmp_path / "out" / "codes.npy")
    assert codes.shape == (2, 60, 3)
    assert codes.dtype == np.uint8
    space = read_id_space(tmp_path / "out" / "id_space.json")
    assert (space.modalities, space.levels, space.codes) == (("text", "image"), 3, 16)
    report = json.loads((tmp_path / "out" / "report.json").read_text())["modalities"]
    for rows, name in zip(codes, ("text", "image"), strict=True):
        assert len(np.unique(rows, axis=0)) == 60
        summary = report[name]
        moved = summary["moved_at_last_level"] + summary["moved_at_level_before"]
        assert summary["collision_rate_before"] == pytest.approx(moved / 60)
        assert moved > 0
        assert summary["collision_rate_after"] == summary["left_sharing"] == 0


def imported_ids(folder: Path, levels: int) -> Path:
    """What the prepare stage leaves of data that brings IDs: one modality of 20 codes, all items on one ID."""
    folder.mkdir()
    np.save(folder / "codes.npy", np.full((1, 60, levels), 19, dtype=np.uint8))
    write_id_space(folder / "id_space.json", IdSpace(("title",), levels, 20))
    return folder


def test_imported_ids_of_other_modalities_come_first_as_they_are(tmp_path: Path) -> None:
    embeddings, quantizer = write_embeddings(tmp_path / "embed"), untrained_quantizer(tmp_path / "quantizer", 16)
    run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "own")
    prepare = imported_ids(tmp_path / "prepare", 3)
    run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "joined", prepare)
    space = read_id_space(tmp_path / "joined" / "id_space.json")
    assert space == IdSpace(("title", "text", "image"), 3, 20)
    for name in ("codes.npy", "greedy_codes.npy"):
        joined = np.load(tmp_path / "joined" / name)
        assert (joined[0] == 19).all()
        assert np.array_equal(joined[1:], np.load(tmp_path / "own" / name))


def test_imported_ids_of_another_length_are_refused_with_the_remedy(tmp_path: Path) -> None:
    embeddings, quantizer = write_embeddings(tmp_path / "embed"), untrained_quantizer(tmp_path / "quantizer", 16)
    prepare = imported_ids(tmp_path / "prepare", 4)
    with pytest.raises(ConfigError, match=r"have 4 levels, the quantizer 3: set quantize\.levels to 4"):
        run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "out", prepare)
    assert not (tmp_path / "out").exists()


def test_some_modalities_ids_alone_go_on_to_the_generator(tmp_path: Path) -> None:
    embeddings, quantizer = write_embeddings(tmp_path / "embed"), untrained_quantizer(tmp_path / "quantizer", 16)
    run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "both")
    only = AssignIdsConfig(batch=16, device="cpu", modalities=("image",))
    run(only, ("text", "image"), quantizer, embeddings, tmp_path / "one")
    assert read_id_space(tmp_path / "one" / "id_space.json").modalities == ("image",)
    assert np.array_equal(np.load(tmp_path / "one" / "codes.npy"), np.load(tmp_path / "both" / "codes.npy")[1:])
    unknown = AssignIdsConfig(modalities=("sound",))
    with pytest.raises(ConfigError, match=r"names \['sound'\], which are not quantized"):
        run(unknown, ("text", "image"), quantizer, embeddings, tmp_path / "none")


def test_the_codes_before_items_moved_are_kept_beside_those_after(tmp_path: Path) -> None:
    embeddings, quantizer = write_embeddings(tmp_path / "embed"), untrained_quantizer(tmp_path / "quantizer", 4)
    run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())["modalities"]
    for name, greedy in zip(report, np.load(tmp_path / "out" / "greedy_codes.npy"), strict=True):
        assert 1 - len(np.unique(greedy, axis=0)) / 60 == pytest.approx(report[name]["collision_rate_before"])


def test_where_ids_run_out_the_report_says_how_many_items_share(tmp_path: Path) -> None:
    embeddings, quantizer = write_embeddings(tmp_path / "embed"), untrained_quantizer(tmp_path / "quantizer", 2)
    run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())["modalities"]["text"]
    distinct = len(np.unique(np.load(tmp_path / "out" / "codes.npy")[0], axis=0))
    assert report["left_sharing"] == 60 - distinct > 0
    assert report["collision_rate_after"] == pytest.approx((60 - distinct) / 60)


def test_embeddings_of_another_width_are_refused_with_both_numbers(tmp_path: Path) -> None:
    embeddings, quantizer = write_embeddings(tmp_path / "embed"), untrained_quantizer(tmp_path / "quantizer", 4)
    np.save(embeddings / "image.npy", np.zeros((60, 9), dtype=np.float32))
    with pytest.raises(DataError, match=r"'image': 7.*'image': 9"):
        run(CPU, ("text", "image"), quantizer, embeddings, tmp_path / "out")
