"""The command line of offline training: ``python -m training COMMAND``."""

import argparse
import logging
import sys
from pathlib import Path

from model.errors import MacrecError
from training import publish

STAGES = ("prepare", "embed", "quantize", "assign", "generate", "fuse", "evaluate", "export")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a user's error is one line on standard error and exit status 2."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("training").setLevel(logging.INFO)
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except MacrecError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    sample = commands.add_parser("sample", help="generate the sample shop")
    sample.add_argument("--out", type=Path, required=True, help="the folder to write")
    sample.set_defaults(run=_sample)
    run = commands.add_parser("run", help="run all stages that are not up to date")
    _add_run_arguments(run)
    run.set_defaults(run=_run, stage=None)
    stage = commands.add_parser("stage", help="run one stage, whether or not it is up to date")
    stage.add_argument("stage", choices=STAGES)
    _add_run_arguments(stage)
    stage.set_defaults(run=_run)
    _add_compare(commands)
    publish.add_commands(commands)
    return parser


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="TOML file, one section per stage")
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--out", type=Path, required=True, help="the run folder; the bundle ends up in OUT/bundle")


def _add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = commands.add_parser("compare", help="train and evaluate baselines, published methods and their parts")
    compare.add_argument("--data", type=Path, required=True, help="the data folder")
    compare.add_argument("--out", type=Path, required=True, help="where stages, rows, tables and report go")
    compare.add_argument(
        "--config",
        type=Path,
        help="the data set's TOML file, which the rows' overrides go over; by default what the folder holds decides",
    )
    compare.add_argument("--rows", nargs="+", metavar="ROW", help="names of training/compare/rows.toml; all by default")
    compare.add_argument("--more-rows", type=Path, help="a TOML file of further rows, of the same form")
    compare.add_argument("--seeds", type=int, default=1, help="trainings of each row")
    compare.add_argument("--minutes", type=float, help="minutes of training for each row's generator or SASRec")
    compare.add_argument("--epochs", type=int, help="epochs of each row's generator")
    compare.add_argument(
        "--last", type=int, help="last events of each user as targets, in a second pass; 10 by default for small sets"
    )
    compare.add_argument("--keep", type=Path, help="a folder for the finished rows' figures, one small JSON file each")
    compare.add_argument("--report-only", action="store_true", help="train nothing, write what is finished")
    compare.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    from training.compare.command import run  # noqa: PLC0415 (torch and matplotlib take seconds to load)

    run(arguments)


def _sample(arguments: argparse.Namespace) -> None:
    from training.sample.generate import SampleConfig, generate  # noqa: PLC0415 (each command loads what it needs)

    generate(SampleConfig(), arguments.out)


def _run(arguments: argparse.Namespace) -> None:
    from training.config import read_config  # noqa: PLC0415 (torch takes seconds to load)
    from training.pipeline import run_stages  # noqa: PLC0415

    run_stages(read_config(arguments.config), arguments.data, arguments.out, arguments.stage)


if __name__ == "__main__":
    sys.exit(main())
