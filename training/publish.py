"""Publishes bundles and catalogs to the registry that servers load them from, lists what is there, and rolls back.

python -m training publish  --bundle FOLDER [--catalog FOLDER] [--redis URL | --registry FOLDER]
python -m training publish  --catalog FOLDER                   [--redis URL | --registry FOLDER]
python -m training compact                                     [--redis URL | --registry FOLDER]
python -m training versions                                    [--redis URL | --registry FOLDER]
python -m training rollback                                    [--redis URL | --registry FOLDER]
python -m training gc       --keep N                           [--redis URL | --registry FOLDER]
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.errors import ConfigError
from model.live_log import LiveLog
from model.live_store import open_live_log
from model.published import Published
from model.registry import UNFINISHED_SECONDS, Registry, open_registry
from model.release import Release
from training import live

REDIS_URL = "REDIS_URL"
LOG_TIMEOUT = 30.0
"""Seconds to wait for each answer of the live log."""


def describe_release(release: Release) -> str:
    """Its two versions on one line."""
    return f"bundle {release.bundle or '-'} catalog {release.catalog}\n"


def describe_versions(registry: Registry) -> str:
    """One line a version, the oldest first: a mark if it is served, kind, name, time, items, size, ID space."""
    current = registry.current()
    served = set() if current is None else set(current.keys)
    return "".join(_describe(version, served=version.key in served) for version in registry.versions())


def _describe(version: Published, *, served: bool) -> str:
    items = "model" if version.items is None else f"{version.items:,} items"
    return (
        f"{'*' if served else ' '} {version.kind:<7}  {version.version}  {version.published:%Y-%m-%d %H:%M:%S %Z}  "
        f"{items:>18}  {version.size / 1e6:>10,.1f} MB  ID space {version.space_hash}\n"
    )


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds the commands; each sets ``run``, which takes the parsed arguments."""
    publisher = _add_command(commands, "publish", "make a bundle, a catalog or both the current release", _run_publish)
    publisher.add_argument("--bundle", type=Path, help="folder of an exported bundle; its model and its catalog")
    publisher.add_argument(
        "--catalog", type=Path, help="folder of a catalog, instead of the bundle's; alone: for the released bundle"
    )
    publisher.add_argument(
        "--live-seq",
        type=_not_negative,
        metavar="N",
        help="the training data holds the changes of items up to this number (GET /catalog tells it), but not whether "
        "they are available, which is taken over",
    )
    compactor = _add_command(commands, "compact", "fold changes of items into the released catalog", _run_compact)
    for command in (publisher, compactor):
        command.add_argument(
            "--state", type=Path, metavar="FOLDER", help="where servers without Redis keep changes of items"
        )
    _add_command(commands, "versions", "list the bundles and catalogs in the registry; * is served", _run_versions)
    _add_command(commands, "rollback", "go back to the release that was current before", _run_rollback)
    collector = _add_command(commands, "gc", "remove what the last releases do not need", _run_gc)
    collector.add_argument("--keep", type=_positive, required=True, metavar="N", help="releases to keep")
    collector.add_argument(
        "--unfinished",
        type=float,
        default=UNFINISHED_SECONDS,
        metavar="SECONDS",
        help="leave alone what was touched in this time: its publisher may still write (default: %(default)s)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("the current release is always kept; give 1 or more")
    return number


def _not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("changes are numbered from 1; give 0 or more")
    return number


def _add_command(
    commands: "argparse._SubParsersAction[Any]", name: str, summary: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--redis", metavar="URL", help=f"a Redis registry (default: ${REDIS_URL}, which hides passwords)"
    )
    where.add_argument("--registry", metavar="FOLDER", type=Path, help="a registry in a folder, without Redis")
    parser.set_defaults(run=run)
    return parser


def _run_publish(arguments: argparse.Namespace) -> None:
    if arguments.bundle is None and arguments.catalog is None:
        raise ConfigError("nothing to publish; give --bundle FOLDER, --catalog FOLDER or both")
    with _registry(arguments) as registry, _live_log(arguments) as live_log:
        release = live.publish(registry, arguments.bundle, arguments.catalog, live_log, arguments.live_seq)
    sys.stdout.write(describe_release(release))


def _run_compact(arguments: argparse.Namespace) -> None:
    with _registry(arguments) as registry, _live_log(arguments) as live_log:
        if live_log is None:
            raise ConfigError(f"no live log named; give --redis URL or --state FOLDER, or set {REDIS_URL}")
        sys.stdout.write(describe_release(live.compact(registry, live_log)))


def _run_versions(arguments: argparse.Namespace) -> None:
    with _registry(arguments) as registry:
        sys.stdout.write(describe_versions(registry))


def _run_rollback(arguments: argparse.Namespace) -> None:
    with _registry(arguments) as registry:
        sys.stdout.write(describe_release(registry.rollback()))


def _run_gc(arguments: argparse.Namespace) -> None:
    with _registry(arguments) as registry:
        collected = registry.collect_garbage(arguments.keep, arguments.unfinished)
    for key in collected.versions:
        sys.stdout.write(f"{key}\n")
    sys.stdout.write(f"{len(collected.versions)} versions and {collected.chunks} chunks removed\n")


@contextmanager
def _live_log(arguments: argparse.Namespace) -> Iterator[LiveLog | None]:
    """The live log that goes with the registry, if there is one."""
    url = arguments.redis or os.environ.get(REDIS_URL)
    if arguments.state is None and not url:
        yield None
        return
    live_log = open_live_log(None if arguments.state else url, arguments.state, LOG_TIMEOUT)
    try:
        yield live_log
    finally:
        live_log.close()


@contextmanager
def _registry(arguments: argparse.Namespace) -> Iterator[Registry]:
    location = arguments.registry or arguments.redis or os.environ.get(REDIS_URL)
    if not location:
        raise ConfigError(f"no registry named; give --redis URL or --registry FOLDER, or set {REDIS_URL}")
    registry = open_registry(location)
    try:
        yield registry
    finally:
        registry.close()
