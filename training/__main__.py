"""The command line of offline training: ``python -m training COMMAND``."""

import argparse
import logging
import sys
from pathlib import Path

from model.errors import MacrecError
from training import publish

STAGES = ("prepare", "embed", "quantize", "assign", "generate", "evaluate", "export")


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
    publish.add_commands(commands)
    return parser


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="TOML file, one section per stage")
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--out", type=Path, required=True, help="the run folder; the bundle ends up in OUT/bundle")


def _sample(arguments: argparse.Namespace) -> None:
    from training.sample.generate import SampleConfig, generate  # noqa: PLC0415 (each command loads what it needs)

    generate(SampleConfig(), arguments.out)


def _run(arguments: argparse.Namespace) -> None:
    from training.config import read_config  # noqa: PLC0415 (torch takes seconds to load)
    from training.pipeline import run_stages  # noqa: PLC0415

    run_stages(read_config(arguments.config), arguments.data, arguments.out, arguments.stage)


if __name__ == "__main__":
    sys.exit(main())
