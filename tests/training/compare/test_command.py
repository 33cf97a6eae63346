"""The compare command from the command line."""

import json
from pathlib import Path

import pytest

from tests.runs import TINY
from tests.training.compare.conftest import TINY_SASREC
from training.__main__ import main
from training.compare.rows import read_rows


def arguments(shop: Path, folder: Path, *more: str) -> list[str]:
    config = folder / "tiny.toml"
    config.write_text(TINY + TINY_SASREC)
    return ["compare", "--data", str(shop), "--config", str(config), "--out", str(folder / "out"), *more]


def test_chosen_rows_are_run_and_all_others_are_shown_as_not_run(shop: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert main(arguments(shop, tmp_path, "--rows", "popularity", "--last", "0", "--keep", str(kept))) == 0
    summary = json.loads((tmp_path / "out" / "comparison.json").read_text())
    states = {entry["row"]: entry["state"] for entry in summary["rows"]}
    assert states == {name: "done" if name == "popularity" else "not run" for name in read_rows()}
    assert (tmp_path / "out" / "report.html").exists()
    assert [path.name for path in kept.glob("*.json")] == ["popularity.json"]


def test_an_unknown_row_is_a_users_error(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(shop, tmp_path, "--rows", "magic")) == 2
    assert "no row 'magic'" in capsys.readouterr().err


@pytest.mark.slow
def test_all_rows_end_to_end(shop: Path, tmp_path: Path) -> None:
    command = arguments(shop, tmp_path, "--seeds", "2", "--last", "5")
    assert main(command) == 0
    summary = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [entry["state"] for entry in summary["rows"]] == ["done"] * len(read_rows())
    assert summary["passes"] == [1, 5]
    results = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "rows").rglob("*.json")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "rows").rglob("*.json")} == results
