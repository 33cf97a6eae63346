import json
from pathlib import Path
from typing import Any

import pytest

from model.errors import ConfigError, DataError
from model.semantic_ids import IdSpace
from training.bad_rows import RowRules
from training.readers.lcrec import LcrecConfig, read_lcrec

LENIENT = RowRules(max_bad_share=1)
SEQUENCES: dict[str, Any] = {"u": [1, 0, 1], "v": [2]}
TEXT: dict[str, Any] = {"0": ["<a_1>", "<b_2>"], "1": ["<a_3>", "<b_255>"], "2": ["<a_1>", "<b_2>"]}
IMAGE: dict[str, Any] = {"2": ["<A_0>", "<B_9>"], "1": ["<A_4>", "<B_5>"], "0": ["<A_6>", "<B_7>"]}


def write(folder: Path, sequences: object = SEQUENCES, text: object = TEXT, image: object = IMAGE) -> Path:
    (folder / "Toys.item2id").write_text("A\t0\nB C\t1\nD\t2\n")
    files = {"Toys.inter.json": sequences, "Toys.index_lemb.json": text, "Toys.index_vitemb.json": image}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_sequences_ids_and_codes_are_read(tmp_path: Path) -> None:
    raw = read_lcrec(write(tmp_path), LcrecConfig(), RowRules())
    assert [item.id for item in raw.items] == ["A", "B C", "D"]
    assert raw.events.user_ids == ["u", "v"]
    assert raw.events.users.tolist() == [0, 0, 0, 1]
    assert raw.events.items.tolist() == [1, 0, 1, 2]
    assert raw.events.timestamps.tolist() == [0, 1, 2, 0]
    assert raw.imported is not None
    assert raw.imported.space == IdSpace(("text", "image"), levels=2)
    assert raw.imported.codes.tolist() == [[[1, 2], [3, 255], [1, 2]], [[6, 7], [4, 5], [0, 9]]]


def test_one_modality_can_be_imported_alone(tmp_path: Path) -> None:
    raw = read_lcrec(write(tmp_path), LcrecConfig(index_files={"text": "index_lemb.json"}), RowRules())
    assert raw.imported is not None
    assert raw.imported.codes.shape == (1, 3, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"0": ["<a_1>", "<a_2>"]}, "item index 0: token '<a_2>' at level 2, where <b_...> is expected"),
        ({"1": ["<A_1>", "<B_2>"]}, "item index 1: token '<A_1>' at level 1"),
        ({"1": ["<a_1>", "b_2"]}, "token 'b_2'"),
        ({"1": ["<a_1>", None]}, "token None"),
        ({"1": ["<a_1>", 2]}, "list of strings"),
        ({"1": ["<a_1>", "<b_256>"]}, "code 256"),
        ({"1": ["<a_1>"]}, r"one length, not \[1, 2\]"),
        ({"1": []}, "no semantic ID for item index 1"),
        ({"1": None}, "no semantic ID for item index 1"),
    ],
)
def test_an_invalid_semantic_id_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_lcrec(write(tmp_path, text=TEXT | changed), LcrecConfig(), RowRules())


def test_codes_must_fit_the_codebooks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="code 255, but codes = 128"):
        read_lcrec(write(tmp_path), LcrecConfig(codes=128), RowRules())


def test_modalities_must_agree_in_length(tmp_path: Path) -> None:
    longer = {index: [*row, "<C_1>"] for index, row in IMAGE.items()}
    with pytest.raises(DataError, match="'text': 2, 'image': 3"):
        read_lcrec(write(tmp_path, image=longer), LcrecConfig(), RowRules())


def test_unknown_items_are_counted_by_user_or_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, sequences={"u": [0, 9], "v": [], "w": [-1, 1]})
    raw = read_lcrec(folder, LcrecConfig(), LENIENT)
    assert raw.events.items.tolist() == [0, 1]
    assert raw.files["Toys.inter.json"].bad["unknown item"].lines == [1, 3]
    assert raw.files["Toys.inter.json"].noted["user without events"].lines == [2]
    with pytest.raises(DataError, match="unknown item"):
        read_lcrec(folder, LcrecConfig(), RowRules(max_bad_share=1, unknown_item="error"))


@pytest.mark.parametrize("sequences", [{"u": [0.5]}, {"u": ["A"]}, {"u": [None]}, {"u": 1}, [1], "x"])
def test_sequences_of_another_form_are_refused(tmp_path: Path, sequences: object) -> None:
    with pytest.raises(DataError, match=r"Toys\.inter\.json"):
        read_lcrec(write(tmp_path, sequences=sequences), LcrecConfig(), LENIENT)


@pytest.mark.parametrize("text", ["A\t0\nB\t2\n", "A\t0\nB\t0\n", "A\t0\nA\t1\n", "A 0\n", "A\tone\n"])
def test_item_ids_must_be_distinct_and_gapless(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    (tmp_path / "Toys.item2id").write_text(text)
    with pytest.raises(DataError, match="item2id"):
        read_lcrec(tmp_path, LcrecConfig(), LENIENT)


def test_a_missing_index_file_names_those_that_exist(tmp_path: Path) -> None:
    config = LcrecConfig(index_files={"text": "index.json"})
    with pytest.raises(ConfigError, match=r"Toys\.index_lemb\.json"):
        read_lcrec(write(tmp_path), config, LENIENT)


def test_the_set_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Arts.inter.json").write_text("{}")
    with pytest.raises(DataError, match=r"\['Arts', 'Toys'\]"):
        read_lcrec(tmp_path, LcrecConfig(), LENIENT)
    assert len(read_lcrec(tmp_path, LcrecConfig(name="Toys"), LENIENT).items) == 3
