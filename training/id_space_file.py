"""The ID space beside the codes it describes, as ``id_space.json``."""

import json
from dataclasses import asdict
from pathlib import Path

from model.errors import DataError
from model.semantic_ids import IdSpace


def write_id_space(path: Path, space: IdSpace) -> None:
    """Writes ``{"modalities": [...], "levels": L, "codes": M}``."""
    path.write_text(json.dumps(asdict(space), indent=2) + "\n")


def read_id_space(path: Path) -> IdSpace:
    """Reads what :func:`write_id_space` wrote.

    Raises:
        DataError: if the file is missing or does not describe an ID space.
        ConfigError: if it describes one that cannot exist.
    """
    try:
        fields = json.loads(path.read_text())
        return IdSpace(tuple(fields["modalities"]), int(fields["levels"]), int(fields["codes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not describe an ID space ({error!r}); rerun the stage that wrote it") from error
