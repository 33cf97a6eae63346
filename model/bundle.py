"""The bundle: the folder that training exports and the service loads. This file is the contract between the two.

    manifest.json          what is in it, with the SHA-256 of every file; written last
    generator.onnx         the whole search: history tokens in, leaves and scores out
    generator.int8.onnx    the same with products in eight bits; absent unless it was asked for
    quantizer.onnx         embeddings in, codes out; absent where semantic IDs were imported
    encoders/              what the offline encoders need to embed new items
    codebooks.safetensors  the quantizer's codebooks
    catalog/               the items that the bundle was exported with
    popular.json           the most popular items' ids

Generator, quantizer and catalog only work together in one ID space, so each names its own and loading compares them.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.catalog import Catalog
from model.catalog_header import HEADER_FILE, SpaceSizes, read_header
from model.config import Config
from model.errors import BundleError
from model.onnx_metadata import read_metadata
from model.semantic_ids import IdSpace

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
GENERATOR_FILE, GENERATOR_INT8_FILE = "generator.onnx", "generator.int8.onnx"
QUANTIZER_FILE = "quantizer.onnx"
OPTIONAL_GRAPHS = (GENERATOR_INT8_FILE, QUANTIZER_FILE)
CODEBOOKS_FILE = "codebooks.safetensors"
ENCODERS_FOLDER = "encoders"
CATALOG_FOLDER = "catalog"
HASH_LENGTH = 16

Precision = Literal["float32", "int8"]


class Manifest(Config):
    """What ``manifest.json`` says.

    Attributes:
        format_version: of the bundle's layout.
        model_hash: the start of the SHA-256 of ``generator.onnx``; the model's version.
        space_hash: which ID space, codebooks included, all parts share.
        id_space: its sizes.
        files: SHA-256 of every other file, by its path in the bundle.
        config: the configuration of the training run, ``max_history`` (items) at its top level.
        metrics: what the evaluation measured.
        data_fingerprint: names the data that the bundle was trained on.
        created_by: the program and version that wrote it.
        created_at: when, in UTC.
    """

    format_version: Literal[1]
    model_hash: str
    space_hash: str
    id_space: SpaceSizes
    files: dict[str, str]
    config: dict[str, Any]
    metrics: dict[str, Any]
    data_fingerprint: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files are verified.

    Attributes:
        folder: where it lies.
        manifest: what is in it.
        version: names the content: the start of the SHA-256 of ``manifest.json``, which holds every file's hash.
    """

    folder: Path
    manifest: Manifest
    version: str

    @property
    def generator(self) -> Path:
        """The search graph."""
        return self.folder / GENERATOR_FILE

    def search_graph(self, precision: Precision) -> Path:
        """The search graph of a precision.

        Raises:
            BundleError: if the bundle was exported without it.
        """
        if precision == "float32":
            return self.generator
        if GENERATOR_INT8_FILE not in self.manifest.files:
            raise BundleError(
                f"{self.folder} has no {GENERATOR_INT8_FILE}: export it with int8 = true in the section [export], or "
                "serve it with MACREC_PRECISION=float32"
            )
        return self.folder / GENERATOR_INT8_FILE

    @property
    def quantizer(self) -> Path | None:
        """The quantizer, if the semantic IDs were trained and not imported."""
        return self.folder / QUANTIZER_FILE if QUANTIZER_FILE in self.manifest.files else None

    def catalog(self) -> Catalog:
        """The items that the bundle was exported with."""
        return Catalog.load(self.folder / CATALOG_FOLDER)

    @classmethod
    def load(cls, folder: Path, *, with_catalog: bool = True) -> "Bundle":
        """Opens a bundle and verifies all of it, or all but its own catalog where another one takes its place.

        Raises:
            BundleError: if a file is missing, changed, or of another ID space; the message names it.
        """
        bundle = cls(folder, read_manifest(folder), bundle_version(folder))
        bundle.verify(lambda name: with_catalog or not is_of_catalog(name))
        manifest = bundle.manifest
        check_one_space(folder, manifest.id_space, manifest.space_hash, with_catalog=with_catalog)
        return bundle

    def verify(self, wanted: Callable[[str], bool]) -> None:
        """Verifies the files with ``wanted`` names: now, if they are read long after the bundle was opened.

        Raises:
            BundleError: if one is missing or not what the manifest said; the message names it.
        """
        for name, expected in self.manifest.files.items():
            if wanted(name) and (found := _hash_file(self.folder / name)) != expected:
                raise BundleError(
                    f"{self.folder / name} has SHA-256 {found}, the manifest says {expected}; copy the bundle again, "
                    "and start what was using it anew"
                )


def bundle_version(folder: Path) -> str:
    """Names the bundle in ``folder`` by its ``manifest.json``, and so by the content of every file.

    Raises:
        BundleError: if there is none.
    """
    return _hash_file(folder / MANIFEST_FILE)[:HASH_LENGTH]


def is_of_catalog(name: str) -> bool:
    """Whether the file that a manifest calls ``name`` is part of the bundle's own catalog."""
    return PurePosixPath(name).parts[:1] == (CATALOG_FOLDER,)


def space_hash(space: IdSpace, *arrays: NDArray[Any]) -> str:
    """Names an ID space by its sizes and what gives codes their meaning: the codebooks, or imported codes."""
    digest = hashlib.sha256(json.dumps(asdict(space)).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:HASH_LENGTH]


def write_bundle(
    folder: Path,
    fill: Callable[[Path], None],
    *,
    space: IdSpace,
    space_hash: str,
    config: dict[str, Any],
    metrics: dict[str, Any],
    data_fingerprint: str,
    created_by: str,
) -> Manifest:
    """Writes a bundle so that nobody ever sees half of one, replacing an older one at the same place.

    Args:
        folder: where the bundle will be.
        fill: writes every file but the manifest into the folder that it is given.
        space: the ID space of all parts.
        space_hash: its name, codebooks included.
        config: goes into the manifest, as do the rest.
        metrics: see :class:`Manifest`.
        data_fingerprint: see :class:`Manifest`.
        created_by: see :class:`Manifest`.

    Raises:
        BundleError: if what ``fill`` wrote is incomplete or of several ID spaces.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fill(partial)
    sizes = SpaceSizes.of(space)
    check_one_space(partial, sizes, space_hash)
    files = {
        path.relative_to(partial).as_posix(): _hash_file(path) for path in sorted(partial.rglob("*")) if path.is_file()
    }
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        model_hash=files[GENERATOR_FILE][:HASH_LENGTH],
        space_hash=space_hash,
        id_space=sizes,
        files=files,
        config=config,
        metrics=metrics,
        data_fingerprint=data_fingerprint,
        created_by=created_by,
        created_at=datetime.now(UTC),
    )
    (partial / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
    _make_readable(partial)
    _replace(partial, folder)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Reads ``manifest.json``.

    Raises:
        BundleError: if it is missing, not what this version writes, or names files outside the bundle.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST_FILE}") from error
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path} cannot be read: {error}; export the bundle again") from error
    for name in manifest.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BundleError(f"{path} names {name!r}, which is outside the bundle")
    return manifest


def check_one_space(folder: Path, sizes: SpaceSizes, space_hash: str, *, with_catalog: bool = True) -> None:
    """Raises BundleError unless generator, quantizer and (if it is to be used) catalog are of the manifest's space."""
    parts = {GENERATOR_FILE: _onnx_space(folder / GENERATOR_FILE)}
    if with_catalog:
        parts[f"{CATALOG_FOLDER}/{HEADER_FILE}"] = _catalog_space(folder)
    parts |= {name: _onnx_space(folder / name) for name in OPTIONAL_GRAPHS if (folder / name).exists()}
    for name, (part_sizes, part_hash) in parts.items():
        for field in SpaceSizes.model_fields:
            ours, theirs = getattr(sizes, field), getattr(part_sizes, field)
            if ours != theirs:
                raise BundleError(
                    f"{name} has {field} = {theirs}, the manifest {field} = {ours}; export all of one run"
                )
        if part_hash != space_hash:
            raise BundleError(f"{name} is of ID space {part_hash}, the manifest of {space_hash}; export all of one run")


def _catalog_space(folder: Path) -> tuple[SpaceSizes, str]:
    """The ID space that the catalog names."""
    header = read_header(folder / CATALOG_FOLDER)
    return header.id_space, header.space_hash


def _onnx_space(path: Path) -> tuple[SpaceSizes, str]:
    """The ID space that an ONNX file names in its properties."""
    properties = read_metadata(path)
    try:
        return SpaceSizes.model_validate_json(properties["id_space"]), properties["space_hash"]
    except (KeyError, ValidationError) as error:
        raise BundleError(f"{path} does not name its ID space ({error}); export the bundle again") from error


def _hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} is in the manifest but cannot be read: {error}; copy the bundle again") from error


def _make_readable(folder: Path) -> None:
    """Lets every user read ``folder``: some libraries write for their owner only, and a service is somebody else."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _replace(source: Path, target: Path) -> None:
    """Renames a finished folder into place; an older one is set aside first and then removed."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)
