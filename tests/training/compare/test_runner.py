"""The runner: shared stages, nothing computed twice, killed rows that go on, and equal data for all."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from model.errors import ConfigError
from tests.runs import IMPORTED, killed_in_epoch, write_imported_shop
from tests.training.compare.conftest import RUN, comparison_of, trained
from training import fit_generator
from training.compare import runner
from training.compare.rows import Row, read_rows
from training.compare.runner import Budget, Comparison, Job
from training.config import RunConfig
from training.run_log import RunLog
from training.trainer import Trainer


def moments(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def copied(compared: Comparison, to: Path, **changes: object) -> Comparison:
    shutil.copytree(compared.out, to)
    return comparison_of(compared.data, to, **changes)


def job(comparison: Comparison, name: str, seed: int = 0, test_events: int = 1) -> Job:
    return Job(next(row for row in comparison.rows if row.name == name), seed, test_events)


def test_every_row_has_a_result_and_the_ranks_behind_it(compared: Comparison) -> None:
    for one in compared.jobs():
        result = compared.result(one)
        assert (result is not None) == (one.row.name in RUN)
        if result is None:
            continue
        with np.load(compared.folder(one) / "ranks.npz") as arrays:
            ranks = arrays[f"seen_left_in/{result['main']}"]
            assert result["seen_left_in"]["hr@10"] == pytest.approx(((ranks >= 0) & (ranks < 10)).mean(), abs=1e-5)
            assert len(ranks) == result["targets"]
            assert result["users"] == 60
            assert result["targets"] == (60 if one.test_events == 1 else 180)


def test_rows_share_the_stages_that_they_agree_on(compared: Comparison) -> None:
    stages = {path.name: len(list(path.iterdir())) for path in (compared.out / "stages").glob("*/")}
    assert stages == {"prepare": 1, "embed": 4, "quantize": 4, "assign": 4, "generate": 6, "fuse": 6, "sasrec": 2}
    folders = {name: trained(compared, job(compared, name)) for name in ("macrec", "macrec-bonus", "tiger")}
    assert folders["macrec"] == folders["macrec-bonus"]
    assert folders["macrec"]["prepare"] == folders["tiger"]["prepare"]


def test_a_finished_row_is_not_touched_again(compared: Comparison, tmp_path: Path) -> None:
    again = copied(compared, tmp_path / "out")
    before = moments(again.out)
    assert again.run(RUN) == {}
    assert moments(again.out) == before


def test_another_budget_is_another_result(compared: Comparison, tmp_path: Path) -> None:
    again = copied(compared, tmp_path / "out", budget=Budget(epochs=1))
    assert again.result(job(again, "macrec")) is None
    assert again.result(job(again, "popularity")) is not None
    again.run(["tiger"])
    result = again.result(job(again, "tiger"))
    assert result is not None
    assert result["training"]["epochs"] == 1
    assert result["training"]["under_trained"]
    assert result["budget"] == {"minutes": None, "epochs": 1}


def test_a_killed_row_goes_on_from_its_checkpoint(
    compared: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, killed = (comparison_of(compared.data, tmp_path / name, last=0) for name in ("straight", "killed"))
    straight.run(["tiger"])

    with killed_in_epoch(2, monkeypatch):
        killed.run(["tiger"])
    assert killed.result(job(killed, "tiger")) is None
    began: list[int] = []
    train = Trainer._train_epoch

    def noted(trainer: Trainer, epoch: int, run_log: RunLog) -> None:
        began.append(epoch)
        train(trainer, epoch, run_log)

    monkeypatch.setattr(Trainer, "_train_epoch", noted)
    killed.run(["tiger"])
    assert began == [1]
    results = [one.result(job(one, "tiger")) for one in (straight, killed)]
    assert all(result is not None for result in results)
    assert results[0]["seen_removed"] == results[1]["seen_removed"]  # type: ignore[index]


def test_a_row_that_fails_is_told_and_does_not_stop_the_others(
    compared: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("no such luck")

    monkeypatch.setattr(fit_generator, "run", refuse)
    comparison = comparison_of(compared.data, tmp_path, last=0)
    assert comparison.run(["tiger", "popularity"]) == {"tiger": "no such luck"}
    assert comparison.result(job(comparison, "popularity")) is not None


def test_seeds_train_anew_but_a_baseline_once(shop: Path, tmp_path: Path) -> None:
    comparison = comparison_of(shop, tmp_path, seeds=2)
    jobs = comparison.jobs()
    names = [(one.row.name, one.seed, one.test_events) for one in jobs]
    assert names.count(("popularity", 0, 1)) == 1
    assert not [name for name in names if name[:2] == ("popularity", 1)]
    assert names.index(("tiger", 1, 1)) > names.index(("no-text", 0, 1))
    assert names.index(("popularity", 0, 3)) > names.index(("no-text", 1, 1))
    seeds = [comparison.config(job(comparison, "macrec", seed)) for seed in (0, 1)]
    assert [(one.generate.seed, one.quantize.seed, one.sasrec.seed) for one in seeds] == [(0, 0, 0), (1, 1, 1)]


@pytest.mark.parametrize(("last", "passes"), [(None, (1, 3)), (0, (1,)), (4, (1, 4))])
def test_small_sets_have_a_second_pass(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int | None, passes: tuple[int, ...]
) -> None:
    monkeypatch.setattr(runner, "LAST", 3)
    assert comparison_of(shop, tmp_path, last=last).passes == passes


def test_large_sets_have_none(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LAST", 3)
    monkeypatch.setattr(runner, "SMALL_SET", 50)
    assert comparison_of(shop, tmp_path, last=None).passes == (1,)


def test_short_histories_are_not_all_held_out(tmp_path: Path) -> None:
    imported = write_imported_shop(tmp_path / "shop")
    base = RunConfig.model_validate(tomllib.loads(IMPORTED))
    assert comparison_of(imported, tmp_path / "out", last=None, base=base).passes == (1,)


def test_minutes_limit_generator_and_sasrec_alike(shop: Path, tmp_path: Path) -> None:
    comparison = comparison_of(shop, tmp_path, budget=Budget(minutes=2.5))
    config = comparison.config(job(comparison, "macrec"))
    assert (config.generate.max_minutes, config.sasrec.max_minutes) == (2.5, 2.5)
    assert config.generate.epochs == 2


def test_no_row_has_epochs_of_its_own_beyond_the_budget(shop: Path, tmp_path: Path) -> None:
    more = tmp_path / "rows.toml"
    own = "[own]\ntitle = 'own'\nwhat = 'x'\nkind = 'generator'\n"
    more.write_text(own + "[own.overrides]\ngenerate.epochs = 9\ngenerate.beam = 7\n")
    rows = tuple(read_rows(more).values())
    limited = comparison_of(shop, tmp_path / "out", rows=rows, budget=Budget(epochs=3))
    config = limited.config(job(limited, "own")).generate
    assert (config.epochs, config.beam) == (3, 7)
    free = comparison_of(shop, tmp_path / "out", rows=rows)
    assert free.config(job(free, "own")).generate.epochs == 9


def test_the_result_holds_what_the_table_shows(compared: Comparison) -> None:
    result = compared.result(job(compared, "macrec"))
    assert result is not None
    assert json.loads(json.dumps(result)) == result
    assert set(result["seen_removed"]["lists"]) == {
        "text", "image", "fused", "text/semantic_id", "image/semantic_id"
    }  # fmt: skip
    assert result["training"]["epochs"] == 2
    assert [set(point) >= {"epoch", "train/loss"} for point in result["training"]["curves"]["generator"]] == [True] * 2
    assert set(result["beams"]["widths"]) == {"10", "20", "50", "100"}
    assert "beams" not in (compared.result(job(compared, "macrec", test_events=3)) or {})


def test_rows_are_those_of_the_file(compared: Comparison) -> None:
    assert all(isinstance(row, Row) for row in compared.rows)
    assert [row.name for row in compared.rows] == list(read_rows())
