"""Pictures of what benchmarks measured: ``python -m benchmarks.plots LINES... --out FOLDER``.

Reads files of the JSON lines that ``benchmarks.search``, ``benchmarks.catalog`` and ``benchmarks.throughput`` print and
writes ``search.svg``, ``shapes.svg``, ``catalog.svg`` and ``throughput.svg`` for those that are there.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from model.errors import ConfigError

Line = dict[str, Any]

COLOURS = ["#0072b2", "#56b4e9", "#d55e00", "#cc79a7", "#e69f00", "#009e73"]
MARKERS = "osD^v"


def search(lines: list[Line]) -> Figure:
    """Milliseconds by beams, a panel for each length of history and number of lists, and the floor of our own."""
    cases = list(dict.fromkeys(map(_case, lines)))
    figure, panels = _panels(len(cases))
    beams = sorted({line["beam"] for line in lines})
    for panel, case in zip(panels, cases, strict=True):
        (items, history, lists) = case
        chosen = sorted((line for line in lines if _case(line) == case), key=lambda line: int(line["beam"]))
        widths = [line["beam"] for line in chosen]
        for place, name in enumerate(chosen[0]["p50_ms"]):
            look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            panel.plot(widths, [line["p50_ms"][name] for line in chosen], label=name, **look)
        panel.plot(widths, [line["floor"]["ms"] for line in chosen], "--", color="#888888", label="floor, fp32")
        _log(panel, widths=beams)
        panel.set_title(f"{items:,} items, history {history}, {_lists(lists)}", fontsize=9)
        panel.set_xlabel("beams")
    panels[0].set_ylabel("milliseconds on a core (median)")
    low, high = (limit(panel.get_ylim()[side] for panel in panels) for side, limit in enumerate((min, max)))
    for panel in panels:
        panel.set_ylim(low, high)
    _legend_below(figure, panels[0])
    return figure


def shapes(lines: list[Line]) -> Figure:
    """How many times as fast each shape is as Hugging Face on the published one, exact and in eight bits."""
    reference = "Hugging Face"
    counts = sorted({line["lists"] for line in lines})
    at_all = [{line["shape"] for line in lines if line["lists"] == count} for count in counts]
    names = [name for name in dict.fromkeys(line["shape"] for line in lines) if all(name in each for each in at_all)]
    figure, panels = _panels(len(counts), height=1.2 + 0.42 * len(names), least_width=10.0)
    for panel, lists in zip(panels, counts, strict=True):
        # All times are by that of the first contestant, the graph.
        of_lists = {line["shape"]: line["times"] for line in lines if line["lists"] == lists}
        first, *others = (name for name in lines[0]["p50_ms"] if name != reference)
        for place, name in enumerate([first, *others]):
            times = [of_lists[shape][reference] / of_lists[shape].get(name, 1.0) for shape in names]
            at = [row + 0.4 * place for row in range(len(names))]
            bars = panel.barh(at, times, height=0.38, color=COLOURS[place], label=name)
            panel.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
        panel.set_title(_lists(lists))
        panel.set_yticks([row + 0.2 for row in range(len(names))], names if panel is panels[0] else [""] * len(names))
        panel.invert_yaxis()
        panel.margins(x=0.15)
    figure.supxlabel(f"times as fast as {reference} on the published shape", fontsize=9)
    panels[0].legend(fontsize=8, loc="upper right")
    return figure


def catalog(lines: list[Line]) -> Figure:
    """Milliseconds of a search, and bytes of the trie, by the items of the catalog."""
    figure, (left, right) = _panels(2)
    # Runs that begin at the same size are told apart by their size alone; the later one counts.
    by_items = {line["items"]: line for line in lines}
    items = sorted(by_items)
    for key, name, colour in (("free", "no rules", COLOURS[0]), ("filtered", "filter and exclusions", COLOURS[2])):
        values = [by_items[each][f"{key}_by_smallest"] for each in items]
        left.plot(items, values, color=colour, marker="o", label=name)
    left.set(title="a search", ylabel="by that of the smallest catalog", xlabel="items", xscale="log")
    left.set_ylim(0, max(1.2, left.get_ylim()[1]))
    left.legend(fontsize=8)
    right.plot(items, [by_items[each]["trie_bytes"] for each in items], color=COLOURS[0], marker="o")
    right.set(title="the trie", ylabel="bytes an item and modality", xlabel="items", xscale="log")
    right.set_ylim(bottom=0)
    return figure


def throughput(lines: list[Line]) -> Figure:
    """Latency and answers a second by the load, in parts of the capacity; of the shape that was measured last."""
    loads = [line for line in lines if line["shape"] == lines[-1]["shape"]]
    figure, (left, right) = _panels(2)
    at = [line["load"] for line in loads]
    for place, name in enumerate(("p50", "p95", "p99")):
        left.plot(at, [line[f"{name}_ms"] for line in loads], color=COLOURS[place], marker=MARKERS[place], label=name)
    left.set(title="answered", ylabel="milliseconds", xlabel="requests by capacity", yscale="log")
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.legend(fontsize=8)
    right.plot(at, [line["answered_per_second"] for line in loads], color=COLOURS[0], marker="o")
    right.set(title="answered in time", ylabel="a second", xlabel="requests by capacity")
    right.set_ylim(bottom=0)
    return figure


def _case(line: Line) -> tuple[int, int, int]:
    """What a panel of searches is of."""
    return line["items"], line["history"], line["lists"]


PICTURES: dict[str, Callable[[list[Line]], Figure]] = {
    "search": search,
    "shapes": shapes,
    "catalog": catalog,
    "throughput": throughput,
}


NEEDED = {
    "search": {"items", "history", "lists", "beam", "p50_ms", "floor"},
    "shapes": {"shape", "lists", "p50_ms", "times"},
    "catalog": {"items", "trie_bytes", "free_by_smallest", "filtered_by_smallest"},
    "throughput": {"shape", "load", "answered_per_second", "p50_ms", "p95_ms", "p99_ms"},
}
"""What a line must have to be drawn; a benchmark prints others, too."""


def draw(lines: list[Line], folder: Path) -> list[Path]:
    """Writes a picture for each benchmark that ``lines`` are of.

    Raises:
        ConfigError: if none of them can be drawn.
    """
    drawn = []
    for benchmark, picture in PICTURES.items():
        chosen = [line for line in lines if line.get("benchmark") == benchmark and NEEDED[benchmark] <= line.keys()]
        if chosen:
            folder.mkdir(parents=True, exist_ok=True)
            drawn.append(folder / f"{benchmark}.svg")
            # Neither the day nor random names, so that the same figures give the same file.
            with mpl.rc_context({"svg.hashsalt": benchmark}):
                picture(chosen).savefig(drawn[-1], bbox_inches="tight", metadata={"Date": None})
    if not drawn:
        raise ConfigError(f"there is nothing to draw: no line is of {', '.join(PICTURES)}")
    return drawn


def _panels(count: int, height: float = 3.2, least_width: float = 7.5) -> tuple[Figure, list[Axes]]:
    """A row of panels on white; sizes are in inches."""
    figure = Figure(figsize=(max(3.0 * count, least_width), height), layout="constrained", facecolor="white")
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for panel in panels:
        panel.grid(visible=True, color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
    return figure, panels


def _log(panel: Axes, widths: list[int]) -> None:
    """Both axes logarithmic, with plain numbers."""
    panel.set(xscale="log", yscale="log")
    panel.xaxis.set_major_locator(FixedLocator(widths))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_minor_locator(NullLocator())
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _legend_below(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)


def _lists(count: int) -> str:
    return "one list" if count == 1 else f"{count} lists"


def read_lines(paths: list[Path]) -> list[Line]:
    """The JSON lines of the files, in order.

    Raises:
        ConfigError: if a file cannot be read, or a line of it is none.
    """
    lines = []
    for path in paths:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read ({error}); name files of what the benchmarks printed") from error
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                found = json.loads(line)
            except json.JSONDecodeError as error:
                raise ConfigError(f"{path}, line {number} is no JSON ({error}): only what goes to stdout is") from error
            if not isinstance(found, dict):
                raise ConfigError(f"{path}, line {number} is no JSON object, which every line of a benchmark is")
            lines.append(found)
    return lines


def main() -> int:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path, nargs="+", help="files of what benchmarks printed")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the pictures")
    arguments = parser.parse_args()
    try:
        for path in draw(read_lines(arguments.lines), arguments.out):
            sys.stdout.write(f"{path}\n")
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
