"""The comparison as tables, and those as Markdown."""

from typing import Any, NamedTuple

from training.evaluate import PROTOCOLS

NAMES = {"seen_removed": "seen items removed", "seen_left_in": "seen items left in"}
METRICS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20")
BEAMS = ("10", "20", "50", "100")
ABSENT = "-"


class Section(NamedTuple):
    """A table under a heading and a note; cells may hold ``**bold**``, ``*italic*`` and ``code`` in backquotes.

    ``below`` says, in the same markup, what is not in the table.
    """

    title: str
    note: str
    head: list[str]
    rows: list[list[str]]
    below: str = ""


def sections(summary: dict[str, Any]) -> list[Section]:
    """All tables of a comparison."""
    quality = [_quality(summary, test_events, protocol) for test_events in summary["passes"] for protocol in PROTOCOLS]
    return [*quality, _costs(summary), _ids(summary), _beams(summary), _rows(summary)]


def heading(summary: dict[str, Any]) -> str:
    """How to read the tables."""
    limits = [f"{value:g} {name} a row" for name, value in summary["budget"].items() if value is not None]
    return (
        f"Budget: {' and '.join(limits) or 'what the configuration says'}; seeds: {summary['seeds']}, means over them. "
        "Item level, full ranking over the catalog. Behind ± stands the standard error over users; differences are "
        "paired by user, with the interval that holds 95 % of 2,000 bootstrap "
        "resamples, bold where it excludes 0. *Under-trained*: the last validation was the best one when the budget "
        "was used up, so more time might have helped. Coverage: the share of the catalog in somebody's first ten. "
        "Cold: targets that nobody met in training, found among the first ten."
    )


def markdown(summary: dict[str, Any]) -> str:
    """The tables as a Markdown document."""
    parts = ["# Comparison", heading(summary)]
    for section in sections(summary):
        lines = [section.head, ["---"] * len(section.head), *section.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts += [part for part in (f"## {section.title}", section.note, table, section.below) if part]
    return "\n\n".join(parts) + "\n"


def _pass_name(test_events: int) -> str:
    return "Last event of each user" if test_events == 1 else f"Last {test_events} events of each user"


def _quality(summary: dict[str, Any], test_events: int, protocol: str) -> Section:
    differences = [f"NDCG@10 minus that of `{name}`" for name in summary["references"]]
    head = ["row", *(name.upper() for name in METRICS), *differences, "coverage@10", "cold found"]
    rows, absent = [], dict[str, list[str]]()
    for entry in summary["rows"]:
        found = entry.get(f"last-{test_events}")
        if found is None:
            absent.setdefault(_reason(entry), []).append(f"`{entry['row']}`")
            continue
        values, cold = found[protocol], found["cold"]
        cells = [_with_error(values, name) for name in METRICS]
        met = f"{cold[f'hits@10 {protocol}']} of {cold['targets']}"
        cells += [_difference(values, name) for name in summary["references"]]
        rows.append([entry["title"], *cells, f"{values['coverage@10']:.3f}", met])
    below = " ".join(f"*{reason}*: {', '.join(names)}." for reason, names in absent.items())
    return Section(f"{_pass_name(test_events)}, {NAMES[protocol]}", "", head, rows, below)


def _reason(entry: dict[str, Any]) -> str:
    """Why a row has no figures in a pass, in a word or two; the table of the rows says more."""
    return "not run" if entry["state"].startswith("done") else str(entry["state"]).split(":")[0]


def _with_error(values: dict[str, Any], name: str) -> str:
    error = values.get(f"{name}_error")
    return f"{values[name]:.4f}" if error is None else f"{values[name]:.4f} ± {error:.4f}"


def _difference(values: dict[str, Any], reference: str) -> str:
    against = values["against"].get(reference)
    if against is None:
        return ABSENT
    value, low, high = against["ndcg@10"]
    text = f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def _costs(summary: dict[str, Any]) -> Section:
    head = [
        "row",
        "parameters",
        "training, s",
        "quantizer, s",
        "epochs",
        "best epoch",
        "ended by",
        "ms a request",
        "p90",
    ]
    timing, rows = summary.get("timing", {"rows": {}})["rows"], []
    for entry in _measured(summary):
        training = entry["last-1"]["training"]
        ms = timing.get(entry["row"])
        rows.append(
            [
                entry["title"],
                f"{entry['parameters']:,}",
                f"{training['seconds']:.0f}",
                _shown(training, "quantizer_seconds", ".0f"),
                *(_shown(training, name, "") for name in ("epochs", "best_epoch", "ended")),
                *(ABSENT if ms is None else f"{ms[name]:.1f}" for name in ("median", "p90")),
            ]
        )
    note = (
        "Seconds of training of the generator or of SASRec's whole grid, of one seed; requests are timed one by one in "
        "torch, all rows in turn in one process, so only their ratios mean something on a busy machine."
    )
    return Section("Training, size and time", note, head, rows)


def _shown(values: dict[str, Any], name: str, form: str) -> str:
    return f"{values[name]:{form}}" if name in values else ABSENT


def _ids(summary: dict[str, Any]) -> Section:
    head = ["row", "IDs", "collisions before", "after", "codes used", "perplexity", "HR@10 of IDs", "NDCG@10 of IDs"]
    rows = []
    for entry in _measured(summary):
        for name, ids in entry.get("ids", {}).items():
            lists = entry["last-1"]["seen_left_in"]["lists"][f"{name}/semantic_id"]
            rows.append(
                [
                    entry["title"],
                    name,
                    f"{ids['collision_rate_before']:.4f}",
                    f"{ids['collisions_after'][-1]:.4f}",
                    " ".join(f"{used}" for used in ids["codes_used"]) + f" of {ids['codes']}",
                    " ".join(f"{value:.1f}" for value in ids["perplexity"]),
                    f"{lists['hr@10']:.4f}",
                    f"{lists['ndcg@10']:.4f}",
                ]
            )
    note = (
        "Before assignment: the share of items beyond one an ID, codes used and perplexity per level. The hit rates "
        "count the right ID, whoever shares it, seen items left in."
    )
    return Section("Semantic IDs", note, head, rows)


def _beams(summary: dict[str, Any]) -> Section:
    head = ["row", "users", *(f"{width} beams" for width in BEAMS), "exact"]
    rows = []
    for entry in _measured(summary):
        if "beams" not in entry:
            continue
        beams = entry["beams"]
        cells = [_beam_cell(beams["widths"][width]) for width in BEAMS]
        rows.append([entry["title"], str(beams["users"]), *cells, f"{beams['exact']['hr@10']:.4f}"])
    note = "HR@10 on a sample of users, seen items left in, and the share of the exact first ten items found."
    return Section("Beams against exact scores of every item", note, head, rows)


def _beam_cell(values: dict[str, float]) -> str:
    return f"{values['hr@10']:.4f}, {values['overlap@10']:.0%}"


def _rows(summary: dict[str, Any]) -> Section:
    rows = [[entry["title"], f"`{entry['row']}`", entry["state"], entry["what"]] for entry in summary["rows"]]
    return Section("Rows", "", ["row", "name", "state", "what"], rows)


def _measured(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in summary["rows"] if "last-1" in entry]
