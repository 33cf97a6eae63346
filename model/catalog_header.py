"""What a catalog says of itself: its version, its size, and the ID space that its codes were made in."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from model.config import Config
from model.errors import BundleError
from model.semantic_ids import IdSpace

FORMAT_VERSION = 1
HEADER_FILE = "catalog.json"


class SpaceSizes(Config):
    """An ID space as it stands in JSON files."""

    modalities: tuple[str, ...]
    levels: int
    codes: int

    @classmethod
    def of(cls, space: IdSpace) -> "SpaceSizes":
        """The sizes of ``space``."""
        return cls(**asdict(space))

    def space(self) -> IdSpace:
        """The ID space of these sizes."""
        return IdSpace(self.modalities, self.levels, self.codes)


class CatalogHeader(Config):
    """What ``catalog.json`` says."""

    format_version: Literal[1]
    version: str
    items: int
    id_space: SpaceSizes
    space_hash: str
    depth_start: list[int]
    live_seq: int = 0


def read_header(folder: Path) -> CatalogHeader:
    """Reads ``catalog.json``.

    Raises:
        BundleError: if it is missing or not what this version writes.
    """
    path = folder / HEADER_FILE
    try:
        return CatalogHeader.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path} cannot be read: {error}; export or publish the catalog again") from error
