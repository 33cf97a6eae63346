from pathlib import Path

import pytest
from pydantic import ValidationError

from model.errors import ConfigError
from tests.runs import IMPORTED, TINY
from training.config import RunConfig, read_config

SHIPPED = sorted((Path(__file__).parents[2] / "training" / "configs").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sections_reach_their_stages(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, TINY))
    assert (config.quantize.levels, config.generate.sizes.d_model, config.evaluate.beam) == (2, 16, 10)
    assert list(config.embed.modalities) == ["text", "image"]
    assert not config.imports_ids


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, "")) == RunConfig()


def test_ready_ids_are_imported_not_trained(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, IMPORTED)).imports_ids


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_settings_are_valid(path: Path) -> None:
    read_config(path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[generat]\nepochs = 1", "generat"),
        ("[generate]\nepoch = 1", r"generate\.epoch"),
        ("[generate.sizes]\nwidth = 1", r"generate\.sizes\.width"),
        ("[generate]\nepochs = 'many'", r"generate\.epochs"),
        ("[embed.modalities.text]\nkind = 'magic'", "magic"),
        ("[quantize]\nlevels = 2", "contrast_from 3 is behind the last of 2 levels"),
        ("[generate\n", "line 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as raised:
        read_config(write(tmp_path, text))
    assert "run.toml" in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        read_config(tmp_path / "absent.toml")


def test_text_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"[generate]\n# \xff\xfe\n")
    with pytest.raises(ConfigError, match=r"run\.toml"):
        read_config(path)


@pytest.mark.parametrize("name", ["dense", "fused"])
def test_a_modality_with_the_name_of_another_list_is_refused_before_anything_runs(name: str) -> None:
    with pytest.raises(ValidationError, match=f"'{name}' names a list beside the modalities'"):
        RunConfig.model_validate({"embed": {"modalities": {name: {"kind": "tfidf"}}}})
