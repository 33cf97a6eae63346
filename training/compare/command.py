"""``python -m training compare``: rows in, one table out."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from model.durable_files import write_durably
from model.errors import ConfigError
from training.compare.report import write_report
from training.compare.rows import read_rows, wanted_rows
from training.compare.runner import Budget, Comparison
from training.compare.summary import summarise_rows
from training.compare.tables import markdown
from training.compare.timing import time_requests
from training.config import read_config
from training.detect import detect_config

log = logging.getLogger(__name__)

SUMMARY_FILE, TABLE_FILE, REPORT_FILE = "comparison.json", "comparison.md", "report.html"


def run(arguments: argparse.Namespace) -> None:
    """Trains and evaluates the wanted rows, then writes tables and report of all rows, those not run as such.

    Raises:
        ConfigError: if rows failed, after all others were run and written; names them.
    """
    rows = read_rows(arguments.more_rows)
    wanted = wanted_rows(rows, arguments.rows or [])
    comparison = Comparison(
        data=arguments.data,
        out=arguments.out,
        base=read_config(arguments.config) if arguments.config else detect_config(arguments.data),
        rows=tuple(rows.values()),
        seeds=arguments.seeds,
        budget=Budget(arguments.minutes, arguments.epochs),
        last=arguments.last,
    )
    failed = {} if arguments.report_only else comparison.run(wanted)
    summary = write_all(comparison, failed)
    if arguments.keep is not None:
        keep_rows(summary, arguments.keep)
    if failed:
        raise ConfigError(f"rows failed, the log and the table say why: {', '.join(failed)}")


def write_all(comparison: Comparison, failed: dict[str, str]) -> dict[str, Any]:
    """Writes ``comparison.json``, ``comparison.md`` and ``report.html`` of what is finished."""
    summary = summarise_rows(comparison, failed)
    firsts = [job for job in comparison.jobs() if job.test_events == 1 and job.seed == 0]
    summary["timing"] = time_requests(comparison, [job for job in firsts if comparison.result(job) is not None])
    write_durably(comparison.out / SUMMARY_FILE, [json.dumps(summary, indent=1).encode()])
    write_durably(comparison.out / TABLE_FILE, [markdown(summary).encode()])
    write_report(summary, comparison, comparison.out / REPORT_FILE)
    log.info("the report is %s", comparison.out / REPORT_FILE)
    return summary


def keep_rows(summary: dict[str, Any], folder: Path) -> None:
    """Writes each finished row as one small JSON file, and the tables: figures to keep without the run folder."""
    for entry in summary["rows"]:
        if "last-1" in entry:
            timing = summary["timing"]["rows"].get(entry["row"])
            kept = {**entry, "seeds": summary["seeds"], "budget": summary["budget"], "milliseconds_a_request": timing}
            write_durably(folder / f"{entry['row']}.json", [json.dumps(kept).encode() + b"\n"])
    write_durably(folder / TABLE_FILE, [markdown(summary).encode()])
