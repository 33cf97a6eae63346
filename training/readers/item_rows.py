"""Items from a JSON lines file: known fields checked, everything else kept as attributes, bad rows counted by line."""

import json
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from model.errors import DataError
from training.bad_rows import BadRows, FileRows, RowRules
from training.images import ImageSource
from training.items import AttributeValue, Item
from training.progress import progress

DEFAULT_IMAGES = (".jpg", ".jpeg", ".png")
_KNOWN = frozenset({"id", "title", "text", "category", "price", "attributes", "image", "has_image"})
_BOM = b"\xef\xbb\xbf"


class ItemFile(NamedTuple):
    """Good items in file order, and the file's row counts."""

    items: list[Item]
    rows: FileRows


class _RowError(Exception):
    """A line that holds no usable item; the message is the kind of fault."""


def read_item_rows(path: Path, images: ImageSource | None, rules: RowRules, *, decode: bool = True) -> ItemFile:
    """Reads items and finds their images; with ``decode``, every image is decoded once to see that it can be.

    Raises:
        DataError: if the file is missing, an id is both an integer and a string, or too many rows are bad.
    """
    reader = _ItemReader(path, images, rules, decode=decode)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(progress(file, f"reading {path.name}"), start=1):
                reader.add(number, line.removeprefix(_BOM) if number == 1 else line)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); it must hold one JSON object per item") from error
    return ItemFile(reader.items, reader.bad.check(reader.rows))


class _ItemReader:
    """Reads a file line by line, remembering the ids so far."""

    def __init__(self, path: Path, images: ImageSource | None, rules: RowRules, *, decode: bool) -> None:
        self.items: list[Item] = []
        self.rows = 0
        self.bad = BadRows(path.name, rules)
        self._images = images
        self._rules = rules
        self._decode = decode
        self._types: dict[str, type] = {}

    def add(self, number: int, line: bytes) -> None:
        """Takes one line; blank ones are no rows."""
        if not line.strip():
            return
        self.rows += 1
        try:
            fields = _fields(line)
            item = self._item(number, self._new_id(number, fields.get("id")), fields)
        except _RowError as fault:
            self.bad.skip(str(fault), number)
            return
        if not item.text.strip():
            self.bad.note("empty text", number, self._rules.empty_text)
        self.items.append(item)

    def _new_id(self, number: int, value: object) -> str:
        """The id as a string that no item had before."""
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise _RowError("id is neither a string nor an integer")
        name = str(value)
        known = self._types.get(name)
        if known not in {None, type(value)}:
            raise DataError(
                f"{self.bad.source}, line {number}: {value!r} is an id both as an integer and as a string; these would "
                f"become one, so write every id in the same way"
            )
        if known:
            raise _RowError("duplicate id")
        self._types[name] = type(value)
        return name

    def _item(self, number: int, item_id: str, fields: dict[str, Any]) -> Item:
        """The item of a row."""
        try:
            return Item(
                id=item_id,
                title=_text(fields.get("title")),
                text=_text(fields.get("text")),
                category=_category(fields.get("category")),
                price=self._price(number, fields.get("price")),
                attributes=_attributes(fields),
                image=self._image(number, item_id, fields),
            )
        except ValidationError as error:
            raise _RowError("attribute that is not finite") from error

    def _price(self, number: int, value: object) -> float | None:
        """A number, or a string that holds one."""
        if value is None or value == "":
            return None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):
                if isfinite(price := float(value)):
                    return price
        self.bad.skip("unreadable price", number)
        return None

    def _image(self, number: int, item_id: str, fields: dict[str, Any]) -> str | None:
        """The name of the item's image, None if it has none or it cannot be used."""
        named = fields.get("image")
        if fields.get("has_image") is False:
            return None
        if self._images is None:
            if named or fields.get("has_image"):
                self.bad.note("image, but the data has no images", number)
            return None
        candidates = [named] if named else [item_id + suffix for suffix in DEFAULT_IMAGES]
        found = [name for name in candidates if isinstance(name, str) and name in self._images]
        if not found:
            if named or fields.get("has_image"):
                self.bad.skip("missing image", number, self._rules.broken_image, f"the item names {named!r}")
            return None
        return found[0] if self._decodes(number, self._images, found[0]) else None

    def _decodes(self, number: int, images: ImageSource, name: str) -> bool:
        """Whether the image decodes, if that is to be known."""
        if not self._decode:
            return True
        try:
            images.verify(name)
        except DataError as error:
            self.bad.skip("image that does not decode", number, self._rules.broken_image, str(error))
            return False
        return True


def _fields(line: bytes) -> dict[str, Any]:
    """The line's JSON object, in which every string can be written again."""
    try:
        fields = json.loads(line.decode())
        if rb"\ud" in line.lower():  # half a surrogate pair is valid JSON, but no Unicode
            json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _RowError("malformed JSON") from error
    if not isinstance(fields, dict):
        raise _RowError("not a JSON object")
    return fields


def _text(value: object) -> str:
    """Text from a string, a number, a list of paragraphs, or nothing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_text(part) for part in value)
    return json.dumps(value, ensure_ascii=False)


def _category(value: object) -> tuple[str, ...]:
    """Categories from one or a list of them."""
    parts = value if isinstance(value, list) else [value]
    return tuple(text for text in map(_text, parts) if text)


def _attributes(fields: dict[str, Any]) -> dict[str, AttributeValue]:
    """The object ``attributes`` and all keys that have no meaning of their own; keys without a value are left out."""
    given = fields.get("attributes") or {}
    if not isinstance(given, dict):
        raise _RowError("attributes is not a JSON object")
    free = {key: value for key, value in fields.items() if key not in _KNOWN}
    return {key: _attribute(value) for key, value in (free | given).items() if value is not None}


def _attribute(value: Any) -> AttributeValue:
    """A plain value as it is, a list as strings, an object as its JSON text."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return [_text(part) for part in value]
    return json.dumps(value, ensure_ascii=False)
