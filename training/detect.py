"""What a data folder that nobody wrote a configuration for holds: its form, and what its items can be embedded by."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.errors import ConfigError
from training.config import RunConfig
from training.images import ARCHIVE, FOLDER
from training.readers.canonical import CanonicalConfig
from training.readers.lcrec import SEQUENCES

TEXT_FIELDS = ("title", "text", "category")
KNOWN_INDEXES = {"index_lemb.json": "text", "index_vitemb.json": "image", "index.json": "text"}
"""Modalities of the semantic IDs' files, by what stands behind ``X.``; others are called by what tells them apart."""


def detect_config(data: Path) -> RunConfig:
    """The defaults, with the form and the modalities of the folder ``data``.

    Items' company in histories is a modality in any case. Where text or images are not there, the modality is left out;
    arrays ``text_emb.npy`` and ``image_emb.npy`` are taken in their place.

    Raises:
        ConfigError: if a modality would be called like another list.
    """
    found = _imported(data) if any(data.glob(f"*{SEQUENCES}")) else _embedded(data)
    try:
        return RunConfig.model_validate(found)
    except ValidationError as error:
        raise ConfigError(f"{data} needs a configuration of its own: {error}") from error


def _imported(data: Path) -> dict[str, Any]:
    """Settings for ready semantic IDs."""
    indexes = {_modality_of(suffix): suffix for suffix in _index_suffixes(data)}
    return {"prepare": {"format": "lcrec", "lcrec": {"index_files": indexes} if indexes else {}}}


def _embedded(data: Path) -> dict[str, Any]:
    """Settings for items that are embedded."""
    kinds = {
        "text": "tfidf" if _has_text(data / CanonicalConfig().items) else None,
        "image": "picture" if (data / FOLDER).is_dir() or (data / ARCHIVE).is_file() else None,
    }
    modalities: dict[str, Any] = {}
    for name, kind in kinds.items():
        array = f"{name}_emb.npy"
        if (data / array).is_file():
            modalities[name] = {"kind": "precomputed", "path": array}
        elif kind is not None:
            modalities[name] = {"kind": kind}
    modalities["collaborative"] = {"kind": "cooccurrence"}
    return {"embed": {"modalities": modalities}}


def _index_suffixes(data: Path) -> list[str]:
    """What stands behind ``X.`` in the names of the semantic IDs' files, the known ones first."""
    found = {path.name[path.name.index("index") :] for path in data.glob("*.index*.json")}
    return sorted(found, key=lambda suffix: (suffix not in KNOWN_INDEXES, suffix))


def _modality_of(suffix: str) -> str:
    """The modality whose IDs stand in a file."""
    own = suffix.removeprefix("index").removesuffix(".json").strip("_.-").lower()
    return KNOWN_INDEXES.get(suffix, own or suffix)


def _has_text(items: Path) -> bool:
    """Whether any item has words; a file that cannot be read is for the prepare stage to tell of."""
    try:
        with items.open(encoding="utf-8") as lines:
            return any(_tells_something(line) for line in lines)
    except (OSError, UnicodeDecodeError):
        return True


def _tells_something(line: str) -> bool:
    """Whether an item's line has words; one that is damaged is for the prepare stage to tell of."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return False
    return isinstance(row, dict) and any(row.get(field) for field in TEXT_FIELDS)
