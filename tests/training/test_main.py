import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.runs import IMPORTED, TINY, write_imported_shop
from training.__main__ import STAGES, main
from training.config import RunConfig
from training.pipeline import stages


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The arguments behind the command's name, for the shop with ready IDs."""
    config = tmp_path / "run.toml"
    config.write_text(IMPORTED)
    return [
        "--config",
        str(config),
        "--data",
        str(write_imported_shop(tmp_path / "shop")),
        "--out",
        str(tmp_path / "out"),
    ]


def test_the_command_line_knows_every_stage_of_the_pipeline(tmp_path: Path) -> None:
    assert tuple(stage.name for stage in stages(RunConfig(), tmp_path, tmp_path)) == STAGES


def test_stages_can_be_run_one_by_one(tmp_path: Path, command: list[str]) -> None:
    assert main(["stage", "prepare", *command]) == 0
    assert main(["stage", "assign", *command]) == 0
    assert np.load(tmp_path / "out" / "assign" / "codes.npy").shape == (2, 7, 2)


@pytest.mark.parametrize(
    ("ready", "wanted", "named"), [([], "evaluate", "prepare"), (["prepare"], "generate", "assign")]
)
def test_a_stage_without_those_before_it_is_one_line_and_status_2(
    command: list[str], capsys: pytest.CaptureFixture[str], ready: list[str], wanted: str, named: str
) -> None:
    for stage in ready:
        assert main(["stage", stage, *command]) == 0
    capsys.readouterr()
    assert main(["stage", wanted, *command]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert f"'{named}' must be run before '{wanted}'" in error
    assert error.count("\n") == 1


def test_a_stage_that_this_run_does_not_have_is_named(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "quantize", *command]) == 2
    assert "no stage 'quantize' in this run" in capsys.readouterr().err


def test_a_wrong_setting_ends_the_process_with_status_2(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "run.toml").write_text(TINY + "\n[prepare]\nformt = 'lcrec'\n")
    done = subprocess.run(
        [sys.executable, "-m", "training", "run", *command],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "prepare.formt" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_missing_data_is_status_2(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command[command.index("--data") + 1] = str(tmp_path / "absent")
    assert main(["run", *command]) == 2
    assert "absent" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["stage", "nothing"], ["run", "--out", "x"]])
def test_a_wrong_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err
