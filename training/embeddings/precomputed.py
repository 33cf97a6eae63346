"""Embeddings that the user made: a .npy file beside the items, or a parquet file with ids."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.encoders.given import GivenEncoder, GivenState
from model.errors import ConfigError, DataError
from training.embeddings.rows import BadRows, Embedded, Rows
from training.embeddings.sources import Inputs, SourceConfig

Ids = list[str | None]

GATHERED = 65_536  # rows read from the file at a time


class PrecomputedSource(SourceConfig):
    """``path`` and ``ids`` are relative to the data folder.

    A .npy file is ``(rows, d)`` of any float type; its row i belongs to line i of ``ids``, a .jsonl file whose lines
    have an "id", or a text file with one id a line. A .parquet file has a column "id" and a list column ``column``. An
    item without a row, or with a row of zeros, lacks the modality. ``normalize`` scales rows to unit length.
    """

    kind: Literal["precomputed"] = "precomputed"
    path: str
    ids: str = "items.jsonl"
    column: str = "embedding"
    normalize: bool = False


def embed_precomputed(config: PrecomputedSource, inputs: Inputs) -> Embedded:
    """Brings the rows into the items' order.

    Raises:
        ConfigError: if the file is of an unknown kind.
        DataError: if a file is missing or damaged, ids and rows do not fit, an id has two rows, no item has a row, or
            for a bad row under ``on_bad`` "error".
    """
    ids, table = _read(config, inputs.data)
    row_of = _positions(ids, config.path)
    found = np.array([row_of.get(item.id, -1) for item in inputs.items], dtype=np.int64)
    if not (found >= 0).any():
        raise DataError(f"no item's id is among the {len(ids)} ids of {config.path}, such as {ids[:3]}")
    encoder = GivenEncoder(GivenState(dim=table.shape[1], normalize=config.normalize, origin=config.path))
    bad = BadRows(config.on_bad)
    values = np.zeros((len(found), encoder.dim), dtype=np.float32)
    for start in range(0, len(found), GATHERED):
        rows = start + np.flatnonzero(found[start : start + GATHERED] >= 0)
        raw = table[found[rows]].astype(np.float32)
        finite = np.isfinite(raw).all(axis=1)
        for row in rows[~finite].tolist():
            bad.add(row, inputs.items[row].id, f"row {found[row]} of {config.path} holds NaN or infinity")
        values[rows[finite]] = encoder.accept(raw[finite])
    return Embedded(Rows(values, bad.reasons), encoder)


def _read(config: PrecomputedSource, data: Path) -> tuple[Ids, NDArray[np.floating]]:
    """The ids of the file's rows, and the rows ``(rows, d)``."""
    readers = {".npy": _read_npy, ".parquet": _read_parquet}
    suffix = Path(config.path).suffix
    if suffix not in readers:
        raise ConfigError(f"embeddings must be a .npy or .parquet file, not {config.path!r}")
    try:
        return readers[suffix](config, data)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"the embeddings {config.path} cannot be read: {error}") from error


def _read_npy(config: PrecomputedSource, data: Path) -> tuple[Ids, NDArray[np.floating]]:
    table = np.load(data / config.path, mmap_mode="r", allow_pickle=False)
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.floating):
        raise DataError(f"{config.path} must be (rows, d) of a float type, not {table.shape} {table.dtype}")
    ids = _read_ids(data / config.ids)
    if len(ids) != len(table):
        raise DataError(
            f"{config.path} has {len(table)} rows but {config.ids} has {len(ids)} ids; row i must be line i"
        )
    return ids, table


def _read_parquet(config: PrecomputedSource, data: Path) -> tuple[Ids, NDArray[np.floating]]:
    columns = pq.read_table(data / config.path)
    for name in ("id", config.column):
        if name not in columns.column_names:
            raise DataError(f"{config.path} has no column {name!r}; it has {columns.column_names}")
    column = columns[config.column].combine_chunks()
    lengths = set(pc.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths:
        raise DataError(f"{config.path}: all {config.column!r} must be lists of one length, not {lengths}")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return [str(value) for value in columns["id"].to_pylist()], flat.reshape(len(column), -1)


def _read_ids(path: Path) -> Ids:
    """One id a line, or one JSON object with an id; blank lines are no rows.

    A line of a .jsonl file that is no item, or the second item of an id, has None: prepare passes over them, too.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as file:  # a title may hold other line breaks
        lines = [line for line in file if line.strip()]
    if path.suffix != ".jsonl":
        return [line.rstrip("\r\n") for line in lines]
    ids: Ids = []
    known: set[str] = set()
    for line in lines:
        item_id = _item_id(line)
        ids.append(None if item_id in known else item_id)
        if item_id is not None:
            known.add(item_id)
    return ids


def _item_id(line: str) -> str | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return str(fields["id"]) if isinstance(fields, dict) and isinstance(fields.get("id"), int | str) else None


def _positions(ids: Ids, path: str) -> dict[str, int]:
    positions: dict[str, int] = {}
    for row, item_id in enumerate(ids):
        if item_id in positions:
            raise DataError(f"the id {item_id!r} has more than one row in {path}; keep one")
        if item_id is not None:
            positions[item_id] = row
    return positions
