"""What every source of embeddings shares: the settings, and what it may read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from model.config import Config
from training.devices import Device
from training.embeddings.rows import OnBad
from training.items import Item
from training.split import Split


class SourceConfig(Config):
    """Settings of every source.

    ``on_bad`` says what happens to an item whose input cannot be used (a NaN row, a text without a known word, a
    picture that does not decode): "skip" counts and reports it as an item without the modality. An item that never
    had an input is not bad.
    """

    on_bad: OnBad = "skip"


class FittedConfig(SourceConfig):
    """Settings of the offline encoders, which are fitted on the catalog.

    They have at most ``dim`` dimensions, fewer if the catalog is too small for that, and are fitted on at most
    ``fit_items`` items, drawn with ``seed``.
    """

    dim: int = Field(default=128, ge=1)
    fit_items: int = Field(default=50_000, ge=2)
    seed: int = 0


class HubConfig(SourceConfig):
    """Settings of models that are loaded by ``model``: a name on the Hugging Face hub or a local folder.

    ``normalize`` scales embeddings to unit length.
    """

    model: str
    revision: str | None = None
    device: Device = "auto"
    batch: int = Field(default=32, ge=1)
    normalize: bool = False


@dataclass(frozen=True)
class Inputs:
    """What a source reads.

    Attributes:
        items: the N items.
        data: the user's folder.
        work: a folder to take up broken-off work from.
        read_split: reads the items' events, and which of them train.
    """

    items: Sequence[Item]
    data: Path
    work: Path
    read_split: Callable[[], Split]

    def text_rows(self, rows: range) -> list[int]:
        """The rows whose items have any text."""
        return [row for row in rows if has_text(self.items[row])]


def has_text(item: Item) -> bool:
    """Whether any of the item's text fields says something."""
    return bool(item.title.strip() or item.text.strip() or any(name.strip() for name in item.category))
