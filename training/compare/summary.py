"""One line per row out of the results of its seeds: means, and paired differences from two rows of them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.compare.rows import RECIPE, REFERENCE, Row
from training.compare.runner import RANKS_FILE, Comparison, Job
from training.evaluate import PROTOCOLS
from training.metrics import CUTOFFS, estimate, gains, hits, paired_bootstrap

METRICS = {"hr": hits, "ndcg": gains}
COMPARED = ("hr@10", "ndcg@10")
REFERENCES = (REFERENCE, RECIPE)
"""The rows that the others are compared with: the published method and this project's."""

PerUser = dict[str, NDArray[np.float64]]


def summarise_rows(comparison: Comparison, failed: dict[str, str]) -> dict[str, Any]:
    """The whole comparison as JSON: every row of the table, by pass, and why a row has no figures."""
    jobs, passes = comparison.jobs(), comparison.passes
    rows = []
    for row in comparison.rows:
        entry: dict[str, Any] = {"row": row.name, "title": row.title, "what": row.what, "kind": row.kind}
        for test_events in passes:
            done = _finished(comparison, [job for job in jobs if job.row == row and job.test_events == test_events])
            if done:
                entry[f"last-{test_events}"] = _means(comparison, done)
        first = _finished(comparison, [job for job in jobs if job.row == row and job.test_events == 1])
        if first:
            entry |= _facts(first)
        entry["state"] = _state(comparison, row, failed, len(first), sum(job.row == row for job in jobs) // len(passes))
        rows.append(entry)
    _compare(comparison, rows, jobs)
    budget = {"minutes": comparison.budget.minutes, "epochs": comparison.budget.epochs}
    return {
        "passes": list(passes),
        "seeds": comparison.seeds,
        "budget": budget,
        "references": list(REFERENCES),
        "rows": rows,
    }


def per_user(folder: Path, main: str) -> PerUser:
    """HR and NDCG of the main list, mean over a user's targets, as ``<protocol>/<metric>@<k>`` ``(U,)`` by user."""
    with np.load(folder / RANKS_FILE, allow_pickle=False) as arrays:
        users, place = np.unique(arrays["users"], return_inverse=True)
        targets = np.bincount(place)
        values: PerUser = {"users": users.astype(np.float64)}
        for protocol in PROTOCOLS:
            ranks = arrays[f"{protocol}/{main}"]
            for name, metric in METRICS.items():
                for cutoff in CUTOFFS:
                    total = np.bincount(place, weights=metric(ranks, cutoff))
                    values[f"{protocol}/{name}@{cutoff}"] = total / targets
    return values


def _finished(comparison: Comparison, jobs: list[Job]) -> list[tuple[Job, dict[str, Any]]]:
    results = [(job, comparison.result(job)) for job in jobs]
    return [(job, result) for job, result in results if result is not None]


def _over_seeds(comparison: Comparison, done: list[tuple[Job, dict[str, Any]]]) -> PerUser:
    """Each user's values, mean over the seeds."""
    seeds = [per_user(comparison.folder(job), result["main"]) for job, result in done]
    return {name: np.mean([values[name] for values in seeds], axis=0) for name in seeds[0]}


def _means(comparison: Comparison, done: list[tuple[Job, dict[str, Any]]]) -> dict[str, Any]:
    """Means over users and seeds with their standard errors over users, and what the first seed says besides."""
    values, (_, first) = _over_seeds(comparison, done), done[0]
    means: dict[str, Any] = {"seeds": len(done), "users": first["users"], "targets": first["targets"]}
    for protocol in PROTOCOLS:
        measured = {name.split("/")[1]: estimate(of) for name, of in values.items() if name.startswith(protocol)}
        means[protocol] = {name: round(one.value, 5) for name, one in measured.items()}
        means[protocol] |= {f"{name}_error": round(measured[name].error, 5) for name in COMPARED}
        means[protocol] |= {"coverage@10": first[protocol]["coverage@10"], "lists": first[protocol]["lists"]}
    training = {name: value for name, value in first["training"].items() if name not in ("curves", "quantizer_curve")}
    return means | {"cold": first["cold"], "training": training}


def _facts(done: list[tuple[Job, dict[str, Any]]]) -> dict[str, Any]:
    """What the first seed's result says beside the metrics."""
    result = done[0][1]
    kept = {name: result[name] for name in ("parameters", "ids", "beam", "beams") if name in result}
    curves = {name: result["training"].get(name) for name in ("curves", "quantizer_curve")}
    return kept | {"curves": curves, "title": row_title(done[0][0].row, result["training"])}


def row_title(row: Row, training: dict[str, Any]) -> str:
    """The row's title, marked where its training was not over when its budget was."""
    return f"{row.title} (under-trained)" if training["under_trained"] else row.title


def _state(comparison: Comparison, row: Row, failed: dict[str, str], done: int, wanted: int) -> str:
    missing = row.missing(comparison.base)
    if missing is not None:
        return f"does not apply: {missing}"
    if row.name in failed:
        return f"failed: {failed[row.name]}"
    if not done:
        return "not run"
    return "done" if done >= wanted else f"{done} of {wanted} seeds"


def _compare(comparison: Comparison, rows: list[dict[str, Any]], jobs: list[Job]) -> None:
    """Adds each row's paired differences from the references that are finished, in both protocols of each pass."""
    for test_events in comparison.passes:
        finished = {
            row.name: _finished(comparison, [job for job in jobs if job.row == row and job.test_events == test_events])
            for row in comparison.rows
        }
        measured = {name: _over_seeds(comparison, done) for name, done in finished.items() if done}
        for entry in rows:
            values = measured.get(entry["row"])
            if values is None:
                continue
            for protocol in PROTOCOLS:
                entry[f"last-{test_events}"][protocol]["against"] = {
                    name: _differences(values, measured[name], protocol)
                    for name in REFERENCES
                    if name in measured and name != entry["row"]
                }


def _differences(values: PerUser, reference: PerUser, protocol: str) -> dict[str, list[float]]:
    """Difference, lower and upper end of its interval, of each metric that is compared."""
    assert np.array_equal(values["users"], reference["users"]), "rows of one comparison have the same users"
    return {
        name: [round(number, 5) for number in paired_bootstrap(values[key], reference[key])]
        for name in COMPARED
        for key in [f"{protocol}/{name}"]
    }
