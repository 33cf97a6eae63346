"""Pictures come of what benchmarks print, the same for the same figures, and of nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.plots import draw, read_lines
from model.errors import ConfigError

FLOOR = {"multiply_adds": 0.3, "ms": 7.0, "gflops": 100, "graph_by_floor": 1.4}


def lines() -> list[dict[str, Any]]:
    both, case = (1, 2), {"items": 10_000, "history": 20}
    taken = {"p50_ms": {"graph": 10.0, "graph, int8": 6.0, "Hugging Face": 60.0}}
    measured = {**taken, "times": {"graph, int8": 0.6, "Hugging Face": 6.0}, "floor": FLOOR, **case}
    grown = {"benchmark": "catalog", "trie_bytes": 5.0, "free_by_smallest": 1.0, "filtered_by_smallest": 1.1}
    answered = {"benchmark": "throughput", "shape": "published", "p50_ms": 20, "p95_ms": 30, "p99_ms": 40}
    names = ("published shape", "a smaller one")
    return [
        *({"benchmark": "search", "lists": lists, "beam": beam, **measured} for lists in both for beam in (20, 50)),
        *({"benchmark": "shapes", "lists": lists, "shape": shape, **measured} for lists in both for shape in names),
        *({"items": items, **grown} for items in (10_000, 1_000_000)),
        {"benchmark": "throughput", "share": 0.9},
        *({"load": load, "answered_per_second": 50 * load, **answered} for load in (0.5, 0.9)),
    ]


def test_every_benchmark_has_its_picture_and_the_same_figures_give_the_same_file(tmp_path: Path) -> None:
    first, second = (draw(lines(), tmp_path / folder) for folder in ("a", "b"))
    assert [path.name for path in first] == ["search.svg", "shapes.svg", "catalog.svg", "throughput.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    for path in first:
        assert path.read_text().rstrip().endswith("</svg>")


def test_only_what_was_measured_is_drawn(tmp_path: Path) -> None:
    assert [path.name for path in draw([each for each in lines() if each["benchmark"] == "catalog"], tmp_path)] == [
        "catalog.svg"
    ]


def test_shapes_that_were_not_measured_for_every_number_of_lists_are_left_out(tmp_path: Path) -> None:
    shapes = [each for each in lines() if each["benchmark"] == "shapes"]
    whole, part = (
        draw(each, tmp_path / name)[0].read_text() for name, each in (("all", shapes), ("part", shapes[:-1]))
    )
    assert len(part) < len(whole)


def test_a_line_that_only_sums_up_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to draw"):
        draw([{"benchmark": "throughput", "shape": "published", "share": 0.9}], tmp_path)


def test_lines_of_other_benchmarks_are_refused_by_name_of_those_that_can_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="search, shapes, catalog, throughput"):
        draw([{"benchmark": "swaps"}], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_is_no_json_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.json"
    path.write_text(json.dumps(lines()[0]) + "\n| a table |\n")
    with pytest.raises(ConfigError, match=r"lines\.json, line 2"):
        read_lines([path])
    path.write_text("[1]\n")
    with pytest.raises(ConfigError, match="no JSON object"):
        read_lines([path])
    with pytest.raises(ConfigError, match="missing"):
        read_lines([tmp_path / "missing"])
