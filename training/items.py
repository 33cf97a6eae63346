"""Items as training knows them, and the JSON lines file that holds them; a row's position is its item index."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from model.errors import DataError

AttributeValue = str | FiniteFloat | bool | list[str]


class Item(BaseModel):
    """Something that can be recommended.

    ``image`` is a path relative to the image folder, or a name in the image archive; None where there is no image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str = ""
    text: str = ""
    category: tuple[str, ...] = ()
    price: FiniteFloat | None = None
    attributes: dict[str, AttributeValue] = {}
    image: str | None = None


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Writes one JSON object per line, without the fields that have their default."""
    with path.open("wb") as file:
        file.writelines(item_line(item) for item in items)


def read_items(path: Path) -> list[Item]:
    """Reads what :func:`write_items` wrote.

    Raises:
        DataError: if a line is not an item; names the line.
    """
    items = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                items.append(Item.model_validate_json(line))
            except ValidationError as error:
                raise DataError(f"{path}, line {number} is not an item; rerun the prepare stage. {error}") from error
    return items


def item_line(item: Item) -> bytes:
    """The canonical line of an item: equal items have equal lines."""
    return item.model_dump_json(exclude_defaults=True).encode() + b"\n"
