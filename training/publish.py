"""Publishes a bundle's catalog to the registry that servers load it from, lists what is there, and rolls back.

python -m training publish  --bundle FOLDER [--redis URL | --registry FOLDER]
python -m training versions                 [--redis URL | --registry FOLDER]
python -m training rollback                 [--redis URL | --registry FOLDER]
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.bundle import CATALOG_FOLDER, Bundle
from model.errors import ConfigError
from model.registry import Registry, open_registry

REDIS_URL = "REDIS_URL"


def publish(bundle: Path, registry: Registry) -> str:
    """Verifies ``bundle`` and makes its catalog the current one; returns the catalog version.

    Raises:
        BundleError: if the bundle is damaged; nothing is published then.
        RegistryError: if the registry does not answer or refuses; the version before stays current.
    """
    return registry.publish(Bundle.load(bundle).folder / CATALOG_FOLDER)


def describe_versions(registry: Registry) -> str:
    """One line a version, the oldest first: a mark at the current one, name, time, items, size, ID space."""
    current = registry.current()
    return "".join(
        f"{'*' if version.version == current else ' '} {version.version}  {version.published:%Y-%m-%d %H:%M:%S %Z}  "
        f"{version.items:>12,} items  {version.size / 1e6:>10,.1f} MB  ID space {version.space_hash}\n"
        for version in registry.versions()
    )


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds ``publish``, ``versions`` and ``rollback``; each sets ``run``, which takes the parsed arguments."""
    publisher = _add_command(commands, "publish", "make a bundle's catalog the current one", _run_publish)
    publisher.add_argument("--bundle", type=Path, required=True, help="the exported bundle's folder")
    _add_command(commands, "versions", "list the catalog versions in the registry", _run_versions)
    _add_command(commands, "rollback", "go back to the catalog that was current before", _run_rollback)


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
    with _registry(arguments) as registry:
        sys.stdout.write(f"{publish(arguments.bundle, registry)}\n")


def _run_versions(arguments: argparse.Namespace) -> None:
    with _registry(arguments) as registry:
        sys.stdout.write(describe_versions(registry))


def _run_rollback(arguments: argparse.Namespace) -> None:
    with _registry(arguments) as registry:
        sys.stdout.write(f"{registry.rollback()}\n")


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
