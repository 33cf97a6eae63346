"""The report's pictures, each a figure from the comparison's JSON; None where there is nothing to show."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from training.compare.rows import RECIPE, REFERENCE

Summary = dict[str, Any]

WIDTH = 11.0
COLOURS = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#8c564b",
    "#7a5195", "#bcbd22", "#17becf", "#ff6f61", "#2f4b7c", "#a05195", "#66a61e", "#999999",
    "#1b1b8f", "#b15928", "#00a5a5", "#f781bf",
]  # fmt: skip
MARKERS = "osD^vPX*<>hp8d"


def measured(summary: Summary) -> list[dict[str, Any]]:
    """The rows that have figures."""
    return [entry for entry in summary["rows"] if "last-1" in entry]


def style(summary: Summary, name: str) -> dict[str, Any]:
    """A row's colour and marker, the same in every picture."""
    place = [entry["row"] for entry in summary["rows"]].index(name)
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def distinct(rows: list[dict[str, Any]], shown: Callable[[dict[str, Any]], object]) -> list[dict[str, Any]]:
    """The rows without those that would draw the same again; the title of the one that is drawn counts them."""
    kept: list[dict[str, Any]] = []
    twins: list[int] = []
    for entry in rows:
        place = next((place for place, other in enumerate(kept) if shown(other) == shown(entry)), None)
        if place is None:
            kept.append(entry)
            twins.append(0)
        else:
            twins[place] += 1
    more = [f" and {count} more" if count else "" for count in twins]
    return [{**entry, "title": entry["title"] + text} for entry, text in zip(kept, more, strict=True)]


def learning_curves(summary: Summary) -> Figure | None:
    """Training loss and validation NDCG@10 by minutes of training.

    SASRec's loss counts items, the others' codes. Rows validate as they choose: our own with seen items removed, the
    published ones and SASRec with them left in.
    """
    rows = [entry for entry in measured(summary) if entry["curves"].get("curves")]
    if not rows:
        return None
    figure, axes = _panels(1, 2, 4.2)
    for entry in distinct(rows, lambda entry: entry["curves"]["curves"]):
        curve, look = entry["curves"]["curves"]["generator"], style(summary, entry["row"])
        for axis, name in zip(axes, ("train/loss", "validation/ndcg@10"), strict=True):
            points = [point for point in curve if name in point]
            minutes = np.array([point.get("train/seconds", np.nan) for point in points]) / 60
            values = [point[name] for point in points]
            axis.plot(minutes, values, label=entry["title"], markersize=3, linewidth=1.2, **look)
    _label(axes[0], "minutes of training", "training loss (nats a code; SASRec: an item)")
    _label(axes[1], "minutes of training", "NDCG@10 on validation")
    _legend(figure, axes)
    return figure


def quantizer_curves(summary: Summary) -> Figure | None:
    """Reconstruction error of each modality by epoch of the quantizer."""
    trained = [entry for entry in measured(summary) if entry["curves"].get("quantizer_curve")]
    rows = distinct(trained, lambda entry: entry["curves"]["quantizer_curve"])
    names = sorted({name for entry in rows for name in entry["curves"]["quantizer_curve"][0] if "/" in name})
    if not names:
        return None
    figure, axes = _panels(1, len(names), 3.8)
    for entry in rows:
        for axis, name in zip(axes, names, strict=True):
            curve = [point for point in entry["curves"]["quantizer_curve"] if name in point]
            epochs, errors = [point["epoch"] for point in curve], [point[name] for point in curve]
            if curve:
                axis.plot(epochs, errors, label=entry["title"], color=style(summary, entry["row"])["color"])
    for axis, name in zip(axes, names, strict=True):
        _label(axis, "epoch", f"reconstruction error, {name.split('/')[1]}")
    _legend(figure, axes)
    return figure


def code_usage(summary: Summary) -> Figure | None:
    """How many items have each code, per level, codes by falling count: even colour is even use."""
    every = [
        {"title": f"{name} of {entry['title']}", "ids": ids}
        for entry in measured(summary)
        for name, ids in entry.get("ids", {}).items()
    ]
    shown = distinct(every, lambda one: one["ids"]["counts"])
    if not shown:
        return None
    columns = 2
    lines = -(-len(shown) // columns)
    figure, axes = _panels(lines, columns, 1.5 * lines + 0.4)
    most = max(max(map(max, one["ids"]["counts"])) for one in shown)
    image = None
    for axis, one in zip(axes, shown, strict=False):
        counts = -np.sort(-np.array(one["ids"]["counts"]), axis=1)
        image = axis.imshow(np.log1p(counts), aspect="auto", cmap="viridis", vmin=0, vmax=np.log1p(most))
        used = one["ids"]["codes_used"]
        axis.set_yticks(range(len(counts)), [f"level {row + 1}: {used[row]}" for row in range(len(counts))], fontsize=7)
        axis.set_title(one["title"], fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    assert image is not None
    ticks = np.array([value for value in (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 100_000) if value <= most])
    bar = figure.colorbar(image, ax=axes, ticks=np.log1p(ticks), fraction=0.03, pad=0.02)
    bar.ax.set_yticklabels([str(tick) for tick in ticks], fontsize=7)
    bar.set_label("items with the code", fontsize=8)
    return figure


def collisions(summary: Summary) -> Figure | None:
    """The share of items beyond one a prefix, by the prefix's length, before any item moved."""
    rows = [entry for entry in measured(summary) if "ids" in entry]
    names = sorted({name for entry in rows for name in entry["ids"]}, reverse=True)
    if not names:
        return None
    figure, axes = _panels(1, len(names), 3.8)
    for entry in distinct(rows, lambda entry: {name: ids["collisions_before"] for name, ids in entry["ids"].items()}):
        for axis, name in zip(axes, names, strict=True):
            if name in entry["ids"]:
                shares = entry["ids"][name]["collisions_before"]
                look = style(summary, entry["row"])
                axis.plot(range(1, len(shares) + 1), shares, label=entry["title"], markersize=4, **look)
                axis.set_xticks(range(1, len(shares) + 1))
    for axis, name in zip(axes, names, strict=True):
        axis.set_yscale("symlog", linthresh=0.01)
        axis.set_ylim(bottom=0)
        axis.set_yticks([0, 0.01, 0.03, 0.1, 0.3, 1], ["0", "1 %", "3 %", "10 %", "30 %", "100 %"])
        _label(axis, "codes of the ID", f"items beyond one a prefix, {name}")
    _legend(figure, axes)
    return figure


def beam_widths(summary: Summary) -> Figure | None:
    """HR@10 and the share of the exact first ten, by beam width."""
    rows = [entry for entry in measured(summary) if "beams" in entry]
    if not rows:
        return None
    figure, axes = _panels(1, 2, 3.8)
    widths = list(rows[0]["beams"]["widths"])
    for entry in distinct(rows, lambda entry: entry["beams"]):
        beams, look = entry["beams"], style(summary, entry["row"])
        steps = [beams["widths"][width] for width in widths] + [beams["exact"]]
        for axis, name in zip(axes, ("hr@10", "overlap@10"), strict=True):
            values = [step[name] for step in steps]
            axis.plot(range(len(steps)), values, label=entry["title"], linewidth=1.2, markersize=4, **look)
    for axis in axes:
        axis.set_xticks(range(len(widths) + 1), [*widths, "exact"])
    _label(axes[0], "beams", f"HR@10 of {rows[0]['beams']['users']} users, seen left in")
    _label(axes[1], "beams", "share of the exact first ten")
    _legend(figure, axes)
    return figure


def pareto(summary: Summary) -> Figure | None:
    """NDCG@10 against milliseconds a request and against training time; the line joins what nothing else beats."""
    timing = summary.get("timing", {}).get("rows", {})
    rows = measured(summary)
    if not rows:
        return None
    figure, axes = _panels(1, 2, 4.4)
    quality = {entry["row"]: entry["last-1"]["seen_removed"]["ndcg@10"] for entry in rows}
    request = {entry["row"]: timing[entry["row"]]["median"] for entry in rows if entry["row"] in timing}
    training = {
        entry["row"]: spent["seconds"] + spent.get("quantizer_seconds", 0)
        for entry in rows
        for spent in [entry["last-1"]["training"]]
        if spent["seconds"]
    }
    for axis, costs in zip(axes, (request, training), strict=True):
        _scatter(axis, summary, costs, quality)
    _label(axes[0], "milliseconds a request (torch, one by one)", "NDCG@10, seen removed")
    _label(axes[1], "seconds of training, quantizer included", "NDCG@10, seen removed")
    _legend(figure, axes)
    return figure


def from_published(summary: Summary) -> Figure | None:
    """Each row's paired difference of NDCG@10 from the published method, with its 95 % interval."""
    return _intervals(summary, REFERENCE)


def from_recipe(summary: Summary) -> Figure | None:
    """Each row's paired difference of NDCG@10 from this project's recipe, with its 95 % interval."""
    return _intervals(summary, RECIPE)


def _intervals(summary: Summary, reference: str) -> Figure | None:
    rows = [entry for entry in measured(summary) if reference in entry["last-1"]["seen_removed"]["against"]]
    if not rows:
        return None
    passes = summary["passes"]
    figure, axes = _panels(1, len(passes), 0.32 * len(rows) + 1.3)
    for column, (axis, test_events) in enumerate(zip(axes, passes, strict=True)):
        axis.axvline(0, color="#444444", linewidth=1)
        for place, entry in enumerate(reversed(rows)):
            against = entry.get(f"last-{test_events}", {}).get("seen_removed", {}).get("against", {}).get(reference)
            if against is not None:
                value, low, high = against["ndcg@10"]
                colour = "#009e73" if low > 0 else "#d55e00" if high < 0 else "#777777"
                axis.plot([low, high], [place, place], color=colour, linewidth=2)
                axis.plot([value], [place], "o", color=colour, markersize=5)
        axis.set_yticks(
            range(len(rows)), [entry["title"] if column == 0 else "" for entry in reversed(rows)], fontsize=8
        )
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.grid(visible=True, axis="x", alpha=0.3)
        which = "last event" if test_events == 1 else f"last {test_events} events"
        axis.set_xlabel(f"NDCG@10 minus that of {reference}, {which}, seen removed", fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
    return figure


PICTURES: dict[str, Callable[[Summary], Figure | None]] = {
    "Differences from MACRec as published": from_published,
    "Differences from the own recipe": from_recipe,
    "Quality against cost": pareto,
    "Learning curves": learning_curves,
    "Quantizer": quantizer_curves,
    "Code usage per level": code_usage,
    "Collisions by level": collisions,
    "Beam width": beam_widths,
}


def _panels(lines: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    return figure, list(grid.flat)


def _label(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(visible=True, alpha=0.3)


def _legend(figure: Figure, axes: list[Axes]) -> None:
    """One legend below all panels."""
    shown = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=4, fontsize=7, frameon=False)


def _scatter(axis: Axes, summary: Summary, costs: dict[str, float], quality: dict[str, float]) -> None:
    titles = {entry["row"]: entry["title"] for entry in summary["rows"]}
    for name, cost in costs.items():
        axis.plot([cost], [quality[name]], linestyle="", label=titles[name], markersize=7, **style(summary, name))
    best, front = -1.0, []
    for name, cost in sorted(costs.items(), key=lambda pair: (pair[1], -quality[pair[0]])):
        if quality[name] > best:
            best = quality[name]
            front.append((cost, best))
    axis.plot(*zip(*front, strict=True), color="#999999", linewidth=1, linestyle="--", zorder=0)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
