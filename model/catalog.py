"""The catalog: every item that can be recommended now, with its semantic IDs, metadata and popularity, and their trie.

On disk it is a folder of arrays that load memory-mapped, so ten million items open in milliseconds and processes share
them. A catalog knows the ID space that its codes were made in, and nothing about generators or quantizers.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.attribute_files import INDEX_FILE, ColumnsBuilder, load_columns, save_columns
from model.attributes import AttributeColumns
from model.catalog_header import FORMAT_VERSION, HEADER_FILE, CatalogHeader, SpaceSizes, read_header
from model.errors import BundleError, ConfigError, DataError
from model.mapped import map_array
from model.semantic_ids import IdSpace
from model.string_table import StringColumn, StringPacker, StringTable
from model.trie import Trie, build_trie

VERSION_LENGTH = 16
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
Item = tuple[str, Mapping[str, Any]]


def _no_items() -> NDArray[np.int32]:
    return np.zeros(0, dtype=np.int32)


@dataclass(frozen=True)
class Catalog:
    """N items in m modalities.

    Attributes:
        space: the ID space of the codes.
        space_hash: which codebooks the codes come from; a generator with another hash cannot search this catalog.
        version: a short hash of the content.
        item_ids: the items' ids by item index.
        attributes: one JSON object per item: title, category, price, image, and whatever else the data has.
        columns: the same as typed columns, for filters.
        codes: ``(m, N, L)`` uint8, the semantic IDs.
        trie: all semantic IDs; items on one leaf stand by popularity.
        popularity: ``(N,)`` int32, how often each item occurs in training.
        rank: ``(N,)`` int32, the place of each item by popularity, equals by id, from 0.
        popular: ``(N - D,)`` int32, item indices by their rank; without deleted ones.
        deleted: ``(D,)`` int32, items that are gone: they keep their codes for histories and stand not in the trie.
        unavailable: ``(U,)`` int32, items that may not be recommended now.
        live_seq: up to which sequence number the live log is in here.
    """

    space: IdSpace
    space_hash: str
    version: str
    item_ids: StringTable
    attributes: StringColumn
    columns: AttributeColumns
    codes: NDArray[np.uint8]
    trie: Trie
    popularity: NDArray[np.int32]
    rank: NDArray[np.int32]
    popular: NDArray[np.int32]
    deleted: NDArray[np.int32] = field(default_factory=_no_items)
    unavailable: NDArray[np.int32] = field(default_factory=_no_items)
    live_seq: int = 0

    @classmethod
    def build(
        cls,
        space: IdSpace,
        codes: NDArray[np.uint8],
        items: Iterable[Item],
        popularity: NDArray[np.integer],
        space_hash: str,
        deleted: NDArray[np.integer] | None = None,
        unavailable: NDArray[np.integer] | None = None,
        live_seq: int = 0,
    ) -> "Catalog":
        """Builds a catalog in memory.

        Args:
            space: the ID space.
            codes: ``(m, N, L)`` uint8.
            items: id and metadata of each item, in item order, read once.
            popularity: ``(N,)``, training counts.
            space_hash: names the codebooks (:func:`model.bundle.space_hash`).
            deleted: ``(D,)`` items that are gone, at least one is not; none if not given.
            unavailable: ``(U,)`` items that may not be recommended now; none if not given.
            live_seq: up to which sequence number the live log is in these items.

        Raises:
            DataError: if an id occurs twice or metadata is not JSON.
            BundleError: if the codes are not of this space or the counts of items differ.
        """
        item_ids, attributes, columns = _pack(items)
        counts = popularity.astype(np.int32)
        _check_sizes(space, codes, len(item_ids), len(counts))
        if codes.size and (top := int(codes.max())) >= space.codes:
            raise BundleError(f"code {top} occurs, but a level of this ID space has only {space.codes} codes")
        gone, hidden = (_no_items() if items is None else np.unique(items) for items in (deleted, unavailable))
        popular = _by_popularity(counts, item_ids.order)
        rank = _places(popular)
        return cls(
            space=space,
            space_hash=space_hash,
            version=_content_hash(
                space_hash, codes, item_ids.blob, item_ids.offsets, attributes.blob, counts, gone, hidden, live_seq
            ),
            item_ids=item_ids,
            attributes=attributes,
            columns=columns,
            codes=codes,
            trie=_build_trie(codes, rank, gone),
            popularity=counts,
            rank=rank,
            popular=popular[~np.isin(popular, gone)] if len(gone) else popular,
            deleted=gone.astype(np.int32),
            unavailable=hidden.astype(np.int32),
            live_seq=live_seq,
        )

    def __len__(self) -> int:
        """N, the number of items."""
        return len(self.item_ids)

    @cached_property
    def events(self) -> int:
        """How often all items occur in training together."""
        return int(self.popularity.sum(dtype=np.int64))

    def metadata(self, item: int) -> dict[str, Any]:
        """The metadata of an item, parsed when asked for."""
        parsed: dict[str, Any] = json.loads(self.attributes.raw(item))
        return parsed

    def save(self, folder: Path) -> None:
        """Writes the catalog into ``folder``, which must exist."""
        header = CatalogHeader(
            format_version=FORMAT_VERSION,
            version=self.version,
            items=len(self),
            id_space=SpaceSizes.of(self.space),
            space_hash=self.space_hash,
            depth_start=self.trie.depth_start.tolist(),
            live_seq=self.live_seq,
        )
        self.item_ids.save(folder, "item_ids")
        self.attributes.save(folder, "metadata")
        save_columns(self.columns, folder)
        for name, array in self._arrays().items():
            np.save(folder / f"{name}.npy", array)
        (folder / HEADER_FILE).write_text(header.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Catalog":
        """Maps a saved catalog; nothing but the header is read until it is used.

        Raises:
            BundleError: if a file is missing, unreadable or of the wrong size.
        """
        header = read_header(folder)
        try:
            attributes = StringColumn.load(folder, "metadata")
            item_ids, popularity = StringTable.load(folder, "item_ids"), map_array(folder / "popularity.npy")
            catalog = cls(
                space=header.id_space.space(),
                space_hash=header.space_hash,
                version=header.version,
                item_ids=item_ids,
                attributes=attributes,
                columns=load_columns(folder) if (folder / INDEX_FILE).exists() else _columns(attributes),
                codes=map_array(folder / "codes.npy"),
                trie=_load_trie(folder, header),
                popularity=popularity,
                rank=_load_rank(folder / "rank.npy", popularity, item_ids),
                popular=map_array(folder / "popular.npy"),
                deleted=_load_items(folder / "deleted.npy"),
                unavailable=_load_items(folder / "unavailable.npy"),
                live_seq=header.live_seq,
            )
        except (OSError, ValueError, ConfigError) as error:
            raise BundleError(f"catalog {folder} cannot be read: {error}; export or publish it again") from error
        _check_sizes(catalog.space, catalog.codes, header.items, len(catalog.popularity))
        if len(catalog) != header.items:
            raise BundleError(f"catalog {folder} names {header.items} items and holds {len(catalog)} ids")
        return catalog

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that are saved under their own names."""
        return {
            "codes": self.codes,
            "child_start": self.trie.child_start,
            "child_code": self.trie.child_code,
            "leaf_start": self.trie.leaf_start,
            "leaf_item": self.trie.leaf_item,
            "item_leaf": self.trie.item_leaf,
            "popularity": self.popularity,
            "rank": self.rank,
            "popular": self.popular,
            "deleted": self.deleted,
            "unavailable": self.unavailable,
        }


def _pack(items: Iterable[Item]) -> tuple[StringTable, StringColumn, AttributeColumns]:
    """Ids and metadata, as JSON and as columns, of items that may only be read once."""
    ids, attributes, columns = StringPacker(), StringPacker(), ColumnsBuilder()
    for item_id, metadata in items:
        ids.add(item_id)
        columns.add(metadata)
        try:
            attributes.add(_JSON.encode(metadata))
        except (TypeError, ValueError) as error:
            raise DataError(f"metadata of item {item_id!r} is not JSON: {error}") from error
    return StringTable(*ids.arrays()), StringColumn(*attributes.arrays()), columns.build()


def _columns(attributes: StringColumn) -> AttributeColumns:
    """The columns of a catalog that was saved without them."""
    columns = ColumnsBuilder()
    for item in range(len(attributes)):
        columns.add(json.loads(attributes.raw(item)))
    return columns.build()


def _by_popularity(counts: NDArray[np.int32], by_id: NDArray[np.int32]) -> NDArray[np.int32]:
    """Items ``(N,)`` by descending count, equals in the order of their ids."""
    return by_id[np.argsort(-counts[by_id], kind="stable")]


def _places(popular: NDArray[np.int32]) -> NDArray[np.int32]:
    """The place of each item ``(N,)`` among all items by popularity ``(N,)``."""
    rank = np.empty_like(popular)
    rank[popular] = np.arange(len(popular), dtype=np.int32)
    return rank


def _load_rank(path: Path, popularity: NDArray[np.int32], item_ids: StringTable) -> NDArray[np.int32]:
    """Maps the ranks; those of a catalog that was saved without them are worked out."""
    return map_array(path) if path.exists() else _places(_by_popularity(popularity, item_ids.order))


def _check_sizes(space: IdSpace, codes: NDArray[np.uint8], items: int, counts: int) -> None:
    """Raises BundleError unless the parts are of one space and one number of items."""
    expected = (len(space.modalities), items, space.levels)
    if codes.shape != expected or codes.dtype != np.uint8:
        raise BundleError(f"codes are {codes.dtype} {codes.shape}, but this catalog needs uint8 {expected}")
    if counts != items:
        raise BundleError(f"popularity counts {counts} items, but the catalog has {items}")


def _content_hash(space_hash: str, *parts: NDArray[Any] | int) -> str:
    """A short hash that changes when anything in the catalog does."""
    digest = hashlib.sha256(f"{FORMAT_VERSION} {space_hash}".encode())
    for array in map(np.asarray, parts):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:VERSION_LENGTH]


def _build_trie(codes: NDArray[np.uint8], rank: NDArray[np.int32], deleted: NDArray[np.integer]) -> Trie:
    """The trie of the items that are not deleted, under their own numbers."""
    if not len(deleted):
        return build_trie(codes, rank)
    kept = np.setdiff1d(np.arange(codes.shape[1], dtype=np.int32), deleted)
    trie = build_trie(codes[:, kept], rank[kept])
    return replace(trie, leaf_item=kept[trie.leaf_item], size=codes.shape[1])


def _load_trie(folder: Path, header: CatalogHeader) -> Trie:
    """Maps the trie's arrays; the leaf of each item is worked out later for a catalog that was saved without it."""
    trie = Trie(
        child_start=map_array(folder / "child_start.npy"),
        child_code=map_array(folder / "child_code.npy"),
        depth_start=np.array(header.depth_start, dtype=np.int64),
        leaf_start=map_array(folder / "leaf_start.npy"),
        leaf_item=map_array(folder / "leaf_item.npy"),
        size=header.items,
    )
    path = folder / "item_leaf.npy"
    return trie.with_item_leaf(map_array(path)) if path.exists() else trie


def _load_items(path: Path) -> NDArray[np.int32]:
    """Item numbers; none in a catalog that was saved before there were such."""
    return map_array(path) if path.exists() else _no_items()
