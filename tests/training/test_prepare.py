import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import DataError
from model.semantic_ids import IdSpace
from training.baselines import BASELINES, evaluate
from training.data_report import DataReport
from training.filters import KCore
from training.id_space_file import read_id_space
from training.images import open_images
from training.interactions import Interactions
from training.items import Item, read_items
from training.prepare import PrepareConfig, run
from training.readers.lcrec import LcrecConfig
from training.split import Split


class Prepared:
    """What the stage wrote."""

    def __init__(self, out: Path) -> None:
        self.items = read_items(out / "items.jsonl")
        self.interactions = Interactions.load(out / "interactions.npz")
        self.report = DataReport.model_validate_json((out / "report.json").read_text())

    def histories(self) -> dict[str, list[str]]:
        """Item ids by user id."""
        parts: list[NDArray[np.int32]] = np.split(self.interactions.items, self.interactions.offsets[1:-1])
        names = [[self.items[item].id for item in part] for part in parts]
        return dict(zip(self.interactions.user_ids, names, strict=True))


def prepare(data: Path, config: PrepareConfig | None = None) -> Prepared:
    run(config or PrepareConfig(), data, data / "out")
    return Prepared(data / "out")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    events = ["bo,x,3", "al,y,5", "bo,y,1", "al,x,5", "bo,x,3", "bo,x,9", "cy,z,2", "al,z,4"]
    (tmp_path / "interactions.csv").write_text("\n".join(["user,item,timestamp", *events]) + "\n")
    (tmp_path / "items.jsonl").write_text("\n".join(json.dumps({"id": item, "text": item}) for item in "wxyz"))
    return tmp_path


def test_histories_are_in_time_order_and_ties_in_file_order(data: Path) -> None:
    prepared = prepare(data)
    assert prepared.histories() == {"bo": ["y", "x", "x"], "al": ["z", "y", "x"], "cy": ["z"]}
    assert prepared.interactions.timestamps.tolist() == [1, 3, 9, 4, 5, 5, 2]
    assert prepared.report.filtered["duplicate events"] == 1


def test_items_without_interactions_stay_unless_told_otherwise(data: Path) -> None:
    assert [item.id for item in prepare(data).items] == ["w", "x", "y", "z"]
    dropped = prepare(data, PrepareConfig(items_without_interactions="drop"))
    assert [item.id for item in dropped.items] == ["x", "y", "z"]
    assert dropped.histories()["al"] == ["z", "y", "x"]


def test_repeats_can_be_dropped_after_the_first(data: Path) -> None:
    prepared = prepare(data, PrepareConfig(repeats="drop"))
    assert prepared.histories()["bo"] == ["y", "x"]
    assert prepared.interactions.timestamps[:2].tolist() == [1, 3]
    assert prepared.report.filtered["repeated items"] == 1


def test_the_core_drops_users_and_items_in_turn(data: Path) -> None:
    prepared = prepare(data, PrepareConfig(k_core=KCore(users=2, items=2), items_without_interactions="drop"))
    assert prepared.histories() == {"bo": ["y", "x", "x"], "al": ["y", "x"]}
    assert [item.id for item in prepared.items] == ["x", "y"]
    assert prepared.report.filtered["events outside the k-core"] == 2


def test_nothing_left_is_an_error_that_says_where_it_went(data: Path) -> None:
    with pytest.raises(DataError, match="'events outside the k-core': 7"):
        prepare(data, PrepareConfig(k_core=KCore(users=9)))


def test_the_report_repeats_and_names_every_file(data: Path) -> None:
    first, second = prepare(data).report, prepare(data).report
    assert first == second
    assert {name: rows.rows for name, rows in first.files.items()} == {"items.jsonl": 4, "interactions.csv": 8}


def test_the_same_content_from_other_files_has_the_same_fingerprint(data: Path) -> None:
    before = prepare(data).report.fingerprint
    rows = [line.split(",") for line in (data / "interactions.csv").read_text().splitlines()]
    lines = [f"{item},{time}.0,{user}\n" for user, item, time in rows[1:]]
    (data / "interactions.csv").write_text("item,timestamp,user\n" + "".join(lines))
    assert prepare(data).report.fingerprint == before


@pytest.mark.parametrize("drop", [False, True])
def test_imported_ids_follow_their_items(tmp_path: Path, *, drop: bool) -> None:
    files: dict[str, Any] = {
        "X.inter.json": {"u": [2, 0, 2]},
        "X.index.json": {"0": ["<a_1>", "<b_2>"], "1": ["<a_3>", "<b_4>"], "2": ["<a_5>", "<b_6>"]},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "X.item2id").write_text("A\t0\nB\t1\nC\t2\n")
    config = PrepareConfig(
        format="lcrec",
        lcrec=LcrecConfig(index_files={"text": "index.json"}),
        items_without_interactions="drop" if drop else "keep",
    )
    prepared = prepare(tmp_path, config)
    codes = np.load(tmp_path / "out" / "codes.npy")
    assert codes.dtype == np.uint8
    assert codes.tolist() == ([[[1, 2], [5, 6]]] if drop else [[[1, 2], [3, 4], [5, 6]]])
    assert prepared.items[-1] == Item(id="C")
    assert prepared.histories() == {"u": ["C", "A", "C"]}
    assert read_id_space(tmp_path / "out" / "id_space.json") == IdSpace(("text",), levels=2)


def real(name: str) -> Path:
    """A folder of the measuring data, which is not part of the project."""
    folder = Path(os.environ.get("MACREC_DATA", "")) / name
    if "MACREC_DATA" not in os.environ or not folder.is_dir():
        pytest.skip(f"MACREC_DATA does not name a folder with {name}")
    return folder


def test_movielens_with_posters_is_read_as_it_is(tmp_path: Path) -> None:
    folder = real("ml-100k-mm")
    run(PrepareConfig(), folder, tmp_path)
    prepared = Prepared(tmp_path)
    report = prepared.report
    assert (report.users, report.items, report.interactions) == (943, 1682, 100_000)
    assert sum(item.image is not None for item in prepared.items) == 1663
    assert report.with_text == pytest.approx(0.989, abs=5e-4)
    assert prepared.items[0].attributes["year"] == "1995"
    images = open_images(folder)
    assert images is not None
    assert images.read("1.jpg").size == (96, 144)


def test_baselines_on_movielens_reproduce_known_figures(tmp_path: Path) -> None:
    """Popularity's figures hang on the order of ties, in time and in rank, so they guard both."""
    run(PrepareConfig(), real("ml-100k-mm"), tmp_path)
    prepared = Prepared(tmp_path)
    split, items = Split(prepared.interactions), len(prepared.items)
    expected = {
        "popularity": ((0.086, 0.045), (0.050, 0.0225)),
        "item_knn": ((0.156, 0.084), (0.081, 0.041)),
        "markov_window": ((0.1845, 0.0955), (0.1145, 0.059)),
    }
    for name, build in BASELINES.items():
        metrics = evaluate(build(split, items), split, items, "test")
        found = [(protocol["hr@10"].value, protocol["ndcg@10"].value) for protocol in metrics]
        np.testing.assert_allclose(found, expected[name], atol=6e-4)


def test_instruments_with_ready_ids_is_read_as_it_is(tmp_path: Path) -> None:
    run(PrepareConfig(format="lcrec"), real("instruments"), tmp_path)
    prepared = Prepared(tmp_path)
    report = prepared.report
    assert (report.users, report.items, report.interactions) == (17_112, 6_250, 136_226)
    assert report.distinct_ids == {"text": 5_988, "image": 6_250}
    assert len(Split(prepared.interactions).training_pairs().users) == 84_890
    codes = np.load(tmp_path / "codes.npy")
    assert codes.shape == (2, 6_250, 4)
    assert codes[:, 0].tolist() == [[170, 224, 251, 151], [154, 106, 221, 144]]
    assert prepared.items[0].id == "B002SQJL9U"
