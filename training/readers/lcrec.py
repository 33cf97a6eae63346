"""The LC-Rec family's form: ``X.inter.json``, ``X.item2id`` and ready semantic IDs in ``X.index*.json``.

There are no titles, texts, images or times: users' items stand in time order, and an event's timestamp is its position.
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from model.config import Config
from model.errors import ConfigError, DataError
from model.semantic_ids import MAX_CODES, IdSpace
from training.bad_rows import BadRows, FileRows, RowRules
from training.items import Item
from training.readers.raw import Events, ImportedIds, RawData

SEQUENCES = ".inter.json"
ITEM_IDS = ".item2id"
UNKNOWN = -1
_CODE = r"^<(?P<letter>[A-Za-z])_(?P<code>[0-9]{1,9})>$"


class LcrecConfig(Config):
    """Which files to read.

    ``name`` is the X of ``X.inter.json`` and may be left out if there is only one. ``index_files`` maps modalities, in
    the order of the ID space, to the part of the index file's name behind ``X.``; ``codes`` is the codebooks' size.
    """

    name: str | None = None
    index_files: dict[str, str] = Field(default={"text": "index_lemb.json", "image": "index_vitemb.json"}, min_length=1)
    codes: int = Field(default=MAX_CODES, ge=1, le=MAX_CODES)


def read_lcrec(data: Path, config: LcrecConfig, rules: RowRules) -> RawData:
    """Reads sequences, item ids and semantic IDs.

    Raises:
        ConfigError: if an index file is missing.
        DataError: if another file is missing or damaged, a semantic ID is invalid, or too many events are bad.
    """
    name = config.name or _only_name(data)
    items = _read_item_ids(data / f"{name}{ITEM_IDS}")
    events, rows = _read_sequences(data / f"{name}{SEQUENCES}", len(items), rules)
    codes = [
        _read_codes(_index_file(data, name, suffix), len(items), config.codes) for suffix in config.index_files.values()
    ]
    depths = {modality: array.shape[1] for modality, array in zip(config.index_files, codes, strict=True)}
    if len(set(depths.values())) != 1:
        raise DataError(f"the modalities' semantic IDs differ in length: {depths}; import modalities of one length")
    space = IdSpace(tuple(config.index_files), levels=codes[0].shape[1], codes=config.codes)
    return RawData(items, events, {f"{name}{SEQUENCES}": rows}, {}, imported=ImportedIds(space, np.stack(codes)))


def _only_name(data: Path) -> str:
    """The X of the only ``X.inter.json``."""
    found = sorted(path.name.removesuffix(SEQUENCES) for path in data.glob(f"*{SEQUENCES}"))
    if len(found) != 1:
        raise DataError(f"{data} must hold one file *{SEQUENCES}, or the config must name one; found {found}")
    return found[0]


def _index_file(data: Path, name: str, suffix: str) -> Path:
    """The file of a modality's semantic IDs."""
    path = data / f"{name}.{suffix}"
    if not path.exists():
        found = sorted(file.name for file in data.glob(f"{name}.index*.json"))
        raise ConfigError(f"{path} does not exist; set index_files to some of {found}")
    return path


def _read_item_ids(path: Path) -> list[Item]:
    """Items in the order of their indices, which must be 0 to N - 1."""
    names: dict[int, str] = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            name, _, index = line.rpartition("\t")
            if not name or not index.isdecimal() or int(index) in names:
                raise DataError(f"{path}, line {number}: {line!r} is not an id, a tab and an index of its own")
            names[int(index)] = name
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    if sorted(names) != list(range(len(names))) or len(set(names.values())) != len(names):
        raise DataError(f"{path} must give {len(names)} different ids the indices 0 to {len(names) - 1}")
    return [Item(id=names[index]) for index in range(len(names))]


def _read_sequences(path: Path, items: int, rules: RowRules) -> tuple[Events, FileRows]:
    """Events in file order; the "line" of a bad one is its user's 1-based position in the file."""
    sequences = _read_object(path)
    broken = [user for user, sequence in sequences.items() if not isinstance(sequence, list)]
    if broken:
        raise DataError(f"{path}: user {broken[0]!r} has no list of item indices")
    lengths = np.fromiter(map(len, sequences.values()), dtype=np.int64, count=len(sequences))
    users = np.repeat(np.arange(len(sequences), dtype=np.int32), lengths)
    positions = np.arange(len(users)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    indices = _integers(path, list(chain.from_iterable(sequences.values())))
    known = (indices >= 0) & (indices < items)
    bad = BadRows(path.name, rules)
    bad.note("user without events", np.flatnonzero(lengths == 0) + 1)
    bad.skip("unknown item", users[~known] + 1, rules.unknown_item)
    rows = bad.check(len(users))
    events = Events(list(sequences), users, np.where(known, indices, UNKNOWN).astype(np.int32), positions)
    return events.take(known), rows


def _read_codes(path: Path, items: int, codes: int) -> NDArray[np.uint8]:
    """Semantic IDs uint8 ``(N, L)`` from lists of tokens such as ``<a_170>``; level l has the l-th letter."""
    table = _read_object(path)
    rows = [table.get(str(index)) for index in range(items)]
    lacking = [index for index, row in enumerate(rows) if not isinstance(row, list) or not row]
    if lacking:
        raise DataError(f"{path} has no semantic ID for item index {lacking[0]} ({len(lacking)} of {items} items)")
    lengths = {len(row) for row in rows if row}
    if len(lengths) != 1:
        raise DataError(f"{path}: semantic IDs must have one length, not {sorted(lengths)}")
    levels = lengths.pop()
    tokens = list(chain.from_iterable(row for row in rows if row))
    values = _parse_tokens(path, tokens, levels)
    if values.max(initial=0) >= codes:
        raise DataError(f"{path} has code {values.max()}, but codes = {codes} allows 0 to {codes - 1}")
    return values.reshape(items, levels).astype(np.uint8)


def _parse_tokens(path: Path, tokens: list[Any], levels: int) -> NDArray[np.int64]:
    """The codes of tokens int64 ``(N * L,)``, after a look at their letters."""
    try:
        column = pa.array(tokens, pa.string())
    except pa.ArrowException as error:
        raise DataError(f"{path}: a semantic ID must be a list of strings ({error})") from error
    parts = pc.extract_regex(column, _CODE)
    first = chr(ord("A") if tokens and str(tokens[0])[1:2].isupper() else ord("a"))
    expected = pa.array([chr(ord(first) + level) for level in range(levels)] * (len(tokens) // levels))
    right = pc.fill_null(pc.equal(pc.struct_field(parts, "letter"), expected), fill_value=False).to_numpy(False)
    if not right.all():
        wrong = int(np.flatnonzero(~right)[0])
        raise DataError(
            f"{path}, item index {wrong // levels}: token {tokens[wrong]!r} at level {wrong % levels + 1}, where "
            f"<{expected[wrong]}_...> is expected"
        )
    values: NDArray[np.int64] = pc.struct_field(parts, "code").cast(pa.int64()).to_numpy()
    return values


def _integers(path: Path, values: list[Any]) -> NDArray[np.int64]:
    """Item indices as an array. Their type is left to Arrow to find, which would cut fractions off if told."""
    try:
        column = pa.array(values) if values else pa.array([], pa.int64())
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"{path}: item indices must be integers ({error})") from error
    if column.type != pa.int64() or column.null_count:
        raise DataError(f"{path}: item indices must be integers, not {column.type}, and none may be missing")
    indices: NDArray[np.int64] = column.to_numpy()
    return indices


def _read_object(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object")
    return content
