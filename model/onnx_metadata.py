"""Reads the metadata of an ONNX file without loading its graph, and without the onnx package.

An ONNX file is one protobuf message; its properties are entries of field 14 at the top level, each with a key (field 1)
and a value (field 2). Everything else is stepped over by its length.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from model.errors import BundleError

METADATA_FIELD = 14
KEY_FIELD = 1
VALUE_FIELD = 2
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5


def read_metadata(path: Path) -> dict[str, str]:
    """The properties (``metadata_props``) of an ONNX file.

    Raises:
        BundleError: if the file is missing or no ONNX file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as message:
            entries = [value for field, value in _fields(message, 0, len(message)) if field == METADATA_FIELD]
        properties = [dict(_fields(entry, 0, len(entry))) for entry in entries]
        return {entry[KEY_FIELD].decode(): entry.get(VALUE_FIELD, b"").decode() for entry in properties}
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise BundleError(f"{path} is no readable ONNX file ({error}); export the bundle again") from error


def _fields(message: mmap.mmap | bytes, position: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Number and content of the length-delimited fields that metadata is made of; the graph is not copied."""
    while position < end:
        tag, position = _varint(message, position)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            _, position = _varint(message, position)
        elif wire_type == FIXED_64:
            position += 8
        elif wire_type == FIXED_32:
            position += 4
        elif wire_type == LENGTH:
            size, position = _varint(message, position)
            if field in (KEY_FIELD, VALUE_FIELD, METADATA_FIELD):
                yield field, message[position : position + size]
            position += size
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")
    if position != end:
        raise ValueError(f"the file ends {position - end} bytes early")


def _varint(message: mmap.mmap | bytes, position: int) -> tuple[int, int]:
    """A variable-length integer, and the position behind it."""
    value, shift = 0, 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
