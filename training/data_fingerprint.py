"""A fingerprint of what a data folder holds, the same for a copy of it elsewhere."""

import hashlib
import json
from pathlib import Path

from model.durable_files import write_durably

Known = dict[str, tuple[int, int, str]]


def data_fingerprint(data: Path, cache: Path) -> str:
    """SHA-256 of the names and contents of all files below ``data``.

    Contents are read once: ``cache`` keeps each file's digest with its size and time of modification, and a file that
    has both still is not read again. A missing or damaged cache costs time only.

    Raises:
        OSError: if a file cannot be read, or the cache cannot be written.
    """
    known, found = _read(cache), dict[str, tuple[int, int, str]]()
    for path in sorted(path for path in data.rglob("*") if path.is_file()):
        name, now = path.relative_to(data).as_posix(), path.stat()
        size, modified, digest = known.get(name, (-1, -1, ""))
        if (size, modified) != (now.st_size, now.st_mtime_ns):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[name] = (now.st_size, now.st_mtime_ns, digest)
    if found != known:
        write_durably(cache, [json.dumps(found).encode()])
    lines = [f"{name}\0{digest}" for name, (_, _, digest) in found.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(cache: Path) -> Known:
    try:
        stored = json.loads(cache.read_bytes())
        return {str(name): (int(size), int(modified), str(digest)) for name, (size, modified, digest) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
