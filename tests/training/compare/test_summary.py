"""One line a row: means over targets and seeds, paired differences, and what is said of rows without figures."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.compare.conftest import RUN, comparison_of
from tests.training.compare.test_runner import job
from training.compare.rows import RECIPE, REFERENCE
from training.compare.runner import RANKS_FILE, Comparison
from training.compare.summary import per_user, row_title, summarise_rows
from training.metrics import ABSENT


@pytest.fixture(scope="module")
def summary(compared: Comparison) -> dict[str, Any]:
    return summarise_rows(compared, {"no-text": "no such luck"})


def entry_of(summary: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in summary["rows"] if entry["row"] == name)


def write_ranks(folder: Path, users: list[int], ranks: list[int]) -> None:
    folder.mkdir(parents=True)
    columns = {f"{protocol}/items": np.array(ranks) for protocol in ("seen_removed", "seen_left_in")}
    np.savez(folder / RANKS_FILE, users=np.array(users), **columns)  # type: ignore[arg-type]


def test_a_users_value_is_the_mean_over_its_targets(tmp_path: Path) -> None:
    write_ranks(tmp_path / "row", [7, 3, 7, 7], [0, 2, ABSENT, 30])
    values = per_user(tmp_path / "row", "items")
    assert values["users"].tolist() == [3, 7]
    assert values["seen_removed/hr@10"].tolist() == [1, pytest.approx(1 / 3)]
    assert values["seen_removed/ndcg@10"].tolist() == [0.5, pytest.approx(1 / 3)]
    assert values["seen_removed/hr@1"].tolist() == [0, pytest.approx(1 / 3)]


def test_rows_without_figures_say_why(summary: dict[str, Any]) -> None:
    states = {entry["row"]: entry["state"] for entry in summary["rows"]}
    assert {name for name, state in states.items() if state == "done"} == set(RUN)
    assert states["no-image"] == "not run"
    assert states["no-text"] == "failed: no such luck"
    assert len(states) == len(summary["rows"])


def test_what_does_not_apply_says_so(compared: Comparison, tmp_path: Path) -> None:
    settings = compared.base.model_dump(mode="json")
    del settings["embed"]["modalities"]["image"]
    base = type(compared.base).model_validate(settings)
    other = comparison_of(compared.data, tmp_path, base=base)
    assert entry_of(summarise_rows(other, {}), "macrec")["state"] == "does not apply: the data has no image"


def test_differences_are_paired_with_both_references(compared: Comparison, summary: dict[str, Any]) -> None:
    assert REFERENCE not in entry_of(summary, REFERENCE)["last-1"]["seen_removed"]["against"]
    own, reference = (
        per_user(compared.folder(job(compared, name)), main)["seen_removed/ndcg@10"]
        for name, main in (("tiger", "text"), (REFERENCE, "fused"))
    )
    assert set(entry_of(summary, "own")["last-1"]["seen_removed"]["against"]) == {REFERENCE}
    assert set(entry_of(summary, "tiger")["last-1"]["seen_removed"]["against"]) == {REFERENCE, RECIPE}
    value, low, high = entry_of(summary, "tiger")["last-1"]["seen_removed"]["against"][REFERENCE]["ndcg@10"]
    assert value == pytest.approx((own - reference).mean(), abs=1e-5)
    assert low < value < high
    spread = 1.96 * (own - reference).std() / len(own) ** 0.5
    assert (high - low) / 2 == pytest.approx(spread, rel=0.15)


def test_seeds_are_averaged_and_counted(compared: Comparison, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared.out, out)
    two = comparison_of(compared.data, out, seeds=2)
    assert entry_of(summarise_rows(two, {}), "tiger")["state"] == "1 of 2 seeds"
    for test_events in two.passes:
        first, second = (job(two, "tiger", seed, test_events) for seed in (0, 1))
        shutil.copytree(two.folder(first), two.folder(second))
        path = two.folder(second) / "result.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": two._fingerprint(second)}))
        with np.load(two.folder(first) / RANKS_FILE) as arrays:
            ranks = {name: np.full_like(array, ABSENT) if "/text" in name else array for name, array in arrays.items()}
        np.savez(two.folder(second) / RANKS_FILE, **ranks)
    entry = entry_of(summarise_rows(two, {}), "tiger")
    before = entry_of(summarise_rows(compared, {}), "tiger")
    assert entry["state"] == "done"
    for name in ("hr@10", "ndcg@10", "hr@20"):
        found, expected = (one["last-1"]["seen_removed"][name] for one in (entry, before))
        assert found == pytest.approx(expected / 2, abs=1e-5)


def test_a_training_that_was_cut_off_is_marked_in_the_title(compared: Comparison) -> None:
    row = compared.rows[0]
    assert row_title(row, {"under_trained": True}) == "popularity (under-trained)"
    assert row_title(row, {"under_trained": False}) == "popularity"
