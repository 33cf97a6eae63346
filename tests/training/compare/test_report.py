"""Tables, pictures and the page: everything that is finished is in them, and nothing is fetched from elsewhere."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.compare.conftest import RUN, comparison_of, trained
from tests.training.compare.test_runner import job
from training.compare.command import keep_rows, write_all
from training.compare.pictures import PICTURES, distinct
from training.compare.prefixes import prefix_groups
from training.compare.report import _inline
from training.compare.runner import Comparison
from training.compare.summary import summarise_rows
from training.compare.tables import markdown, sections
from training.compare.timing import time_requests


@pytest.fixture(scope="module")
def written(compared: Comparison) -> tuple[dict[str, Any], str]:
    summary = write_all(compared, {})
    return summary, (compared.out / "report.html").read_text()


def test_the_page_holds_all_pictures_and_needs_nothing_else(written: tuple[dict[str, Any], str]) -> None:
    page = written[1]
    assert page.count('<img class="figure"') == len(PICTURES)
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)"', page))
    assert not re.findall(r"https?://|<script|<link", page)
    assert "Items by prefix" in page


def test_every_row_stands_in_every_table_of_figures_or_below_it(written: tuple[dict[str, Any], str]) -> None:
    summary = written[0]
    tables = sections(summary)
    run = [entry for entry in summary["rows"] if entry["row"] in RUN]
    others = [entry["row"] for entry in summary["rows"] if entry["row"] not in RUN]
    for section in tables[:4]:
        assert [cells[0] for cells in section.rows] == [entry["title"] for entry in run]
        assert all(len(cells) == len(section.head) for cells in section.rows)
        assert section.below == f"*not run*: {', '.join(f'`{name}`' for name in others)}."
    assert len(tables[0].rows[0]) == len(tables[0].head)
    assert "<em>not run</em>: <code>" in written[1]


def test_the_markdown_is_tables_of_equal_width(compared: Comparison, written: tuple[dict[str, Any], str]) -> None:
    text = (compared.out / "comparison.md").read_text()
    assert text == markdown(written[0])
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1


def test_a_difference_whose_interval_excludes_zero_is_bold(written: tuple[dict[str, Any], str]) -> None:
    (first, *_), summary = sections(written[0]), written[0]
    for entry, cells in zip((each for each in summary["rows"] if each["row"] in RUN), first.rows, strict=True):
        against = entry.get("last-1", {}).get("seen_left_in", {}).get("against", {})
        for place, reference in ((8, "macrec"), (9, "own")):
            if reference in against:
                _, low, high = against[reference]["ndcg@10"]
                assert cells[place].startswith("**") == (low > 0 or high < 0)
            elif against:
                assert cells[place] == "-"


def test_a_comparison_without_finished_rows_is_written_too(compared: Comparison) -> None:
    summary = summarise_rows(compared, {})
    for entry in summary["rows"]:
        for name in ("last-1", "last-3"):
            entry.pop(name, None)
    assert markdown(summary).count("*not run*") == 4
    assert [draw(summary) for draw in PICTURES.values()] == [None] * len(PICTURES)


def test_a_report_of_rows_whose_stages_are_gone_trains_nothing(compared: Comparison, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared.out / "rows", out / "rows")
    summary = write_all(comparison_of(compared.data, out), {})
    assert {path.name for path in (out / "stages").glob("*/")} == {"prepare"}
    assert {entry["row"] for entry in summary["rows"] if entry["state"] == "done"} == set(RUN)
    assert set(summary["timing"]["rows"]) == {"popularity"}
    assert "Items by prefix" not in (out / "report.html").read_text()


def test_requests_of_all_rows_are_timed_in_turn_and_once(compared: Comparison) -> None:
    jobs = [job(compared, name) for name in RUN]
    timing = time_requests(compared, jobs)
    assert set(timing["rows"]) == set(RUN)
    assert all(0 < one["median"] <= one["p90"] for one in timing["rows"].values())
    assert time_requests(compared, jobs) == timing
    assert set(time_requests(compared, jobs[:1], rounds=2)["rows"]) == {"popularity"}


def test_items_below_a_code_are_shown_with_those_of_their_pictures_that_exist(compared: Comparison) -> None:
    folders = trained(compared, job(compared, "macrec"))
    groups = prefix_groups(folders["assign"], folders["prepare"], compared.data)
    assert {group.modality for group in groups} == {"text", "image"}
    for modality in ("text", "image"):
        sizes = [group.size for group in groups if group.modality == modality]
        assert sizes == sorted(sizes, reverse=True)
        assert sum(sizes) <= 48
    pictures = [picture for group in groups for _, picture in group.items]
    assert None in pictures
    assert any(picture is not None and picture.startswith("data:image/jpeg;base64,") for picture in pictures)


def test_rows_that_would_draw_the_same_are_drawn_once() -> None:
    rows = [{"title": "a", "x": 1}, {"title": "b", "x": 2}, {"title": "c", "x": 1}, {"title": "d", "x": 1}]
    assert [row["title"] for row in distinct(rows, lambda row: row["x"])] == ["a and 2 more", "b"]


def test_text_in_cells_is_escaped_before_it_is_marked_up() -> None:
    assert _inline("**+1 [<b>]** `x` *y*") == "<b>+1 [&lt;b&gt;]</b> <code>x</code> <em>y</em>"


def test_finished_rows_are_kept_as_small_files(written: tuple[dict[str, Any], str], tmp_path: Path) -> None:
    keep_rows(written[0], tmp_path)
    assert {path.stem for path in tmp_path.glob("*.json")} == set(RUN)
    kept = json.loads((tmp_path / "macrec.json").read_text())
    assert kept["last-1"]["seen_removed"]["ndcg@10"] == written[0]["rows"][4]["last-1"]["seen_removed"]["ndcg@10"]
    assert max(path.stat().st_size for path in tmp_path.glob("*.json")) < 50_000
