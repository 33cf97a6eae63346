import json
from pathlib import Path

import pytest

from model.errors import ConfigError, DataError
from model.semantic_ids import IdSpace
from training.id_space_file import read_id_space, write_id_space


def test_an_id_space_survives_a_round_trip(tmp_path: Path) -> None:
    space = IdSpace(("text", "image"), levels=3, codes=64)
    write_id_space(tmp_path / "id_space.json", space)
    assert json.loads((tmp_path / "id_space.json").read_text()) == {
        "modalities": ["text", "image"],
        "levels": 3,
        "codes": 64,
    }
    assert read_id_space(tmp_path / "id_space.json") == space


@pytest.mark.parametrize(
    "content", ["", "[]", '{"modalities": ["text"]}', '{"modalities": 1, "levels": 4, "codes": 9}']
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "id_space.json").write_text(content)
    with pytest.raises(DataError, match=r"id_space\.json"):
        read_id_space(tmp_path / "id_space.json")


def test_an_impossible_space_is_refused(tmp_path: Path) -> None:
    (tmp_path / "id_space.json").write_text('{"modalities": ["text"], "levels": 4, "codes": 300}')
    with pytest.raises(ConfigError, match="300"):
        read_id_space(tmp_path / "id_space.json")
