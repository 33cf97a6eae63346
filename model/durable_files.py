"""Files that are either there as a whole or not at all, whatever kills the writer, and a lock between processes."""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from model.errors import MacrecError


def write_durably(path: Path, chunks: Iterable[bytes]) -> None:
    """Writes ``path`` under a temporary name, syncs it to the disk and renames it; makes the folders that it needs.

    The temporary name is ``.NAME.*.partial`` and nobody else's: processes of two containers may have one number. A
    killed writer leaves it behind.

    Raises:
        OSError: if the disk is full or the folder cannot be written; ``path`` is then as it was before.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Makes ``folder`` and those above it, as far as they are missing, and their names durable.

    Raises:
        OSError: if one cannot be made.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in ``folder`` durable: a new file or a rename survives a power cut only when it was synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on the file ``path``, made if need be; the kernel frees it when the holder dies.

    Raises:
        OSError: if the file or its folder cannot be made.
    """
    make_folder(path.parent)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path: Path) -> BinaryIO | None:
    """Takes an exclusive lock on the file ``path``, made if need be, until the answer is closed or the process dies.

    Returns:
        The file that holds the lock; None if another process has it.

    Raises:
        OSError: if the file cannot be written.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def named_errors(kind: type[MacrecError], what: str) -> Iterator[None]:
    """Raises what the disk refuses as a ``kind`` that says ``what`` cannot be used, and why."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what} cannot be used: {error}") from error
