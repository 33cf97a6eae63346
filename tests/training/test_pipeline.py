import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.bundle import Bundle
from model.errors import ConfigError
from tests.runs import IMPORTED, TINY, killed_in_epoch, write_imported_shop, write_shop
from training import export
from training.config import RunConfig
from training.pipeline import STAGE_FILE, run_stages
from training.run_log import read_metrics

STAGES = ["prepare", "embed", "quantize", "assign", "generate", "fuse", "evaluate", "export"]


def settings(text: str = TINY, /, **changes: dict[str, Any]) -> RunConfig:
    """The settings with some values of some sections replaced."""
    sections = tomllib.loads(text)
    return RunConfig.model_validate(sections | {name: sections.get(name, {}) | new for name, new in changes.items()})


def finished(out: Path) -> dict[str, int]:
    """When each stage was finished, in ns."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob(f"*/{STAGE_FILE}")}


def broken_off(*_: object, **__: object) -> None:
    """A stage that is killed at once."""
    raise KeyboardInterrupt


def rerun(out: Path, before: dict[str, int]) -> set[str]:
    return {name for name, moment in finished(out).items() if before.get(name) != moment}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def whole_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages, once; tests that change something take a copy."""
    out = tmp_path_factory.mktemp("run")
    run_stages(settings(), data, out)
    return out


@pytest.fixture
def out(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "out"))


def test_the_bundle_has_the_search_in_eight_bits_if_the_settings_say_so(whole_run: Path) -> None:
    bundle = Bundle.load(whole_run / "bundle")
    assert bundle.search_graph("int8").stat().st_size > 0


def test_all_stages_leave_a_bundle_that_loads(whole_run: Path) -> None:
    states = {path.parent.name: json.loads(path.read_text()) for path in whole_run.glob(f"*/{STAGE_FILE}")}
    assert set(states) == set(STAGES)
    assert all(
        state["finished"] and state["seconds"] >= 0 and state["peak_memory_mib"] > 0 for state in states.values()
    )
    bundle = Bundle.load(whole_run / "bundle")
    assert len(bundle.catalog()) == 48
    assert bundle.quantizer is not None
    assert np.array_equal(bundle.catalog().codes, np.load(whole_run / "assign" / "codes.npy"))
    metrics = json.loads((whole_run / "evaluate" / "metrics.json").read_text())
    assert bundle.manifest.metrics == metrics
    oracle = metrics["seen_removed"]["oracle"]
    assert oracle["ndcg@10"] > metrics["seen_removed"]["popularity"]["ndcg@10"]


def test_a_second_run_reruns_nothing(data: Path, out: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    run_stages(settings(), data, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_changed_setting_reruns_its_stage_and_those_after(
    data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, changed = finished(out), settings(generate={"seed": 5}, evaluate={"users": 20})
    with monkeypatch.context() as patched:  # an export takes too long to be done for this alone
        patched.setattr(export, "run", broken_off)
        with pytest.raises(KeyboardInterrupt):
            run_stages(changed, data, out)
    assert rerun(out, before) == {"generate", "fuse", "evaluate", "export"}
    assert json.loads((out / "evaluate" / "metrics.json").read_text())["users"] == 20
    assert not json.loads((out / "export" / STAGE_FILE).read_text())["finished"]


@pytest.mark.parametrize(
    ("changes", "wanted", "stale"),
    [
        ({"prepare": {"repeats": "drop"}}, "embed", "prepare"),
        ({"embed": {"imputation": {}, "modalities": {"text": {"kind": "tfidf", "dim": 4}}}}, "quantize", "embed"),
        ({"quantize": {"epochs": 5}}, "generate", "quantize"),
        ({"assign": {"batch": 7}}, "evaluate", "assign"),
        ({"generate": {"seed": 5}}, "export", "generate"),
        ({"fusion": {"bonus": 2.0}}, "export", "generate"),
        ({"fusion": {"choose_weights": True}}, "evaluate", "fuse"),
    ],
)
def test_a_stage_is_refused_where_one_before_it_is_out_of_date(
    data: Path, out: Path, changes: dict[str, dict[str, Any]], wanted: str, stale: str
) -> None:
    before = finished(out)
    with pytest.raises(ConfigError, match=f"'{stale}' must be run before '{wanted}'"):
        run_stages(settings(**changes), data, out, only=wanted)
    assert rerun(out, before) == set()


def test_one_stage_is_run_again_though_it_is_up_to_date(data: Path, out: Path) -> None:
    before, report = finished(out), (out / "assign" / "codes.npy").read_bytes()
    run_stages(settings(), data, out, only="assign")
    assert rerun(out, before) == {"assign"}
    assert (out / "assign" / "codes.npy").read_bytes() == report


def test_changed_data_makes_the_run_stale(data: Path, out: Path, tmp_path: Path) -> None:
    before, changed = finished(out), Path(shutil.copytree(data, tmp_path / "changed"))
    path = changed / "interactions.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ConfigError, match="'prepare' must be run before 'embed'"):
        run_stages(settings(), changed, out, only="embed")
    run_stages(settings(), changed, out, only="prepare")
    assert rerun(out, before) == {"prepare"}


def test_a_copy_of_the_data_leaves_the_run_as_it_is(data: Path, out: Path, tmp_path: Path) -> None:
    before, copied = finished(out), Path(shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile))
    run_stages(settings(), copied, out)
    assert not rerun(out, before)


def test_a_stage_that_was_broken_off_goes_on(
    data: Path, whole_run: Path, out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(out / "generate")
    with killed_in_epoch(2, monkeypatch):
        run_stages(settings(), data, out)
    assert not json.loads((out / "generate" / STAGE_FILE).read_text())["finished"]
    before = finished(out)
    with caplog.at_level("INFO"):
        run_stages(settings(), data, out)
    assert "resuming in epoch 2" in caplog.text
    assert rerun(out, before) == {"generate"}
    assert [record["step"] for record in read_metrics(out / "generate")] == [
        record["step"] for record in read_metrics(whole_run / "generate")
    ]
    weights = [folder / "generate" / "generator.safetensors" for folder in (out, whole_run)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_work_under_other_settings_is_not_gone_on_with(data: Path, out: Path) -> None:
    (out / "assign" / "left-over").touch()
    run_stages(settings(assign={"batch": 7}), data, out, only="assign")
    assert not (out / "assign" / "left-over").exists()


def test_ready_ids_are_taken_over_and_served(tmp_path: Path) -> None:
    shop = write_imported_shop(tmp_path / "shop")
    run_stages(settings(IMPORTED), shop, tmp_path / "out")
    assert set(finished(tmp_path / "out")) == {"prepare", "assign", "generate", "fuse", "evaluate", "export"}
    bundle = Bundle.load(tmp_path / "out" / "bundle")
    assert bundle.quantizer is None
    assert bundle.catalog().codes[0].tolist() == [[item % 6, 0] for item in range(7)]
    assert bundle.catalog().codes[1].tolist() == [[item // 3, item % 3] for item in range(7)]
    with pytest.raises(ConfigError, match="no stage 'quantize' in this run"):
        run_stages(settings(IMPORTED), shop, tmp_path / "out", only="quantize")


def test_beside_ready_ids_items_get_ids_of_their_company_in_histories(tmp_path: Path) -> None:
    shop = write_imported_shop(tmp_path / "shop")
    tiny = tomllib.loads(TINY)
    collaborative = {
        "embed": {"modalities": {**tiny["embed"]["modalities"], "collaborative": {"kind": "cooccurrence", "dim": 3}}},
        "quantize": {**tiny["quantize"], "loss": {"contrast": 0.0}},
        "assign": tiny["assign"],
    }
    run_stages(settings(IMPORTED, **collaborative), shop, tmp_path / "out")
    assert set(finished(tmp_path / "out")) == set(STAGES)
    bundle = Bundle.load(tmp_path / "out" / "bundle")
    assert bundle.quantizer is None
    assert bundle.catalog().space.modalities == ("text", "image", "collaborative")
    assert bundle.catalog().codes[0].tolist() == [[item % 6, 0] for item in range(7)]
    assert len(np.unique(bundle.catalog().codes[2], axis=0)) == 7
