"""From what somebody tells of an item to the leaves that it would like, by the bundle's frozen encoders and quantizer.

Each modality's encoder makes an embedding of the item's texts or picture, or takes the one that the caller made; what
is missing is predicted from the rest; the quantizer's encoder makes latents of them, and the nearest-free-code rule
(:mod:`model.assignment`) ranks the leaves. All of it is what training did with the items of the catalog.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from model.assignment import Floats, free_leaves, nearest_codes
from model.bundle import CODEBOOKS_FILE, ENCODERS_FOLDER, QUANTIZER_FILE, Bundle
from model.encoders import Encoder, decode, load_encoder
from model.errors import BundleError, DataError
from model.imputation import Imputer
from model.item_inputs import ItemInputs
from model.live_catalog import LiveCatalog
from model.live_log import Claim, Leaves
from model.semantic_ids import IdSpace

ERRORS_ONLY = 3


class Encoded(NamedTuple):
    """B items before the quantizer's codebooks.

    Attributes:
        latents: ``(m, B, d)`` float32.
        present: ``(m, B)`` bool, which modalities were there; the others were predicted.
    """

    latents: Floats
    present: NDArray[np.bool_]


class ItemEncoder:
    """The encoders, the imputer, the quantizer and its codebooks of one bundle; threads may share it."""

    def __init__(self, space: IdSpace, space_hash: str, encoders: Sequence[Encoder], parts: "Parts") -> None:
        """Keeps the parts; ``encoders`` stand in the order of the ID space."""
        self.space = space
        self.space_hash = space_hash
        self.encoders = dict(zip(space.modalities, encoders, strict=True))
        self._parts = parts

    @classmethod
    def load(cls, bundle: Bundle, threads: int = 1) -> "ItemEncoder | None":
        """The encoder of a bundle; None if its semantic IDs were imported, so that it has none.

        Raises:
            BundleError: if a part is missing or damaged, or is another one's since the bundle was opened: a training
                that wrote a new bundle into its folder must not give new items codes of another ID space.
        """
        if bundle.quantizer is None:
            return None
        bundle.verify(lambda name: name in (QUANTIZER_FILE, CODEBOOKS_FILE) or name.startswith(f"{ENCODERS_FOLDER}/"))
        space = bundle.manifest.id_space.space()
        folder = bundle.folder / ENCODERS_FOLDER
        encoders = [load_encoder(folder / modality) for modality in space.modalities]
        parts = Parts(
            imputer=Imputer.load(folder / "imputation.safetensors"),
            codebooks=read_codebooks(bundle.folder, space),
            quantizer=_session(bundle.quantizer, threads),
        )
        return cls(space, bundle.manifest.space_hash, encoders, parts)

    @property
    def codebooks(self) -> Floats:
        """``(m, L, M, d)`` float32."""
        return self._parts.codebooks

    def encode(self, inputs: Sequence[ItemInputs], *, strict: bool = True) -> Encoded:
        """Latents of B items.

        Args:
            inputs: of each item.
            strict: whether an input that cannot be used is an error; if not, the item counts as one that lacks it.

        Raises:
            DataError: for an image that does not decode, or embeddings of an unknown modality, a wrong size, or with
                NaN or infinity.
        """
        if strict:
            self._check_modalities(inputs)
        values: dict[str, Floats] = {}
        present: dict[str, NDArray[np.bool_]] = {}
        for modality, encoder in self.encoders.items():
            rows = [self._embedding(modality, encoder, each, strict=strict) for each in inputs]
            values[modality] = np.array(rows, dtype=np.float32).reshape(len(inputs), encoder.dim)
            present[modality] = np.asarray(values[modality].any(axis=1))
        filled = self._parts.imputer.fill(values, present)
        outputs = [f"{modality}_latent" for modality in self.space.modalities]
        latents = self._parts.quantizer.run(outputs, {name: filled[name] for name in self.space.modalities})
        return Encoded(np.stack(latents), np.stack([present[name] for name in self.space.modalities]))

    def claim(self, item_id: str, latents: Floats, catalog: LiveCatalog) -> Claim:
        """What an item with ``latents`` ``(m, d)`` asks for: the leaves that the rule gives it in the catalog."""
        return Claim(
            item_id,
            self.space_hash,
            [
                Leaves(
                    free=_free(latent, self.codebooks[modality], catalog, modality),
                    shared=nearest_codes(latent[None], self.codebooks[modality]).codes[0].tobytes(),
                )
                for modality, latent in enumerate(latents)
            ],
        )

    def _check_modalities(self, inputs: Sequence[ItemInputs]) -> None:
        for each in inputs:
            if unknown := set(each.embeddings) - set(self.encoders):
                raise DataError(f"embeddings of {sorted(unknown)} have no place; this model has {list(self.encoders)}")

    def _embedding(self, modality: str, encoder: Encoder, inputs: ItemInputs, *, strict: bool) -> Floats:
        """One modality's embedding ``(d,)`` of an item, zeros if it lacks it."""
        nothing = np.zeros(encoder.dim, dtype=np.float32)
        try:
            if modality in inputs.embeddings:
                return _given(modality, encoder, inputs.embeddings[modality])
        except DataError:  # made for another model, if not strict: what it was made from may do
            if strict:
                raise
        try:
            if encoder.takes == "text":
                return _row(encoder.encode_texts([inputs]))
            if encoder.takes == "image" and inputs.image is not None:
                return _row(encoder.encode_images([decode(inputs.image)]))
        except DataError:
            if strict:
                raise
        return nothing


class Parts(NamedTuple):
    """What all modalities share; codebooks ``(m, L, M, d)`` float32."""

    imputer: Imputer
    codebooks: Floats
    quantizer: ort.InferenceSession


def read_codebooks(folder: Path, space: IdSpace) -> Floats:
    """The codebooks ``(m, L, M, d)`` float32 of the bundle in ``folder``.

    Raises:
        BundleError: if they are missing, damaged, or not of this ID space.
    """
    path = folder / CODEBOOKS_FILE
    try:
        tensors = load_file(path)
        codebooks = np.stack([tensors[modality] for modality in space.modalities])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error!r}; export the bundle again") from error
    if codebooks.shape[:3] != (len(space.modalities), space.levels, space.codes):
        raise BundleError(f"{path} holds codebooks {codebooks.shape}, the ID space is {space}; export the bundle again")
    return codebooks.astype(np.float32, copy=False)


def _given(modality: str, encoder: Encoder, embedding: Sequence[float]) -> Floats:
    """An embedding that the caller made in place of an encoder."""
    values = np.array([embedding], dtype=np.float64)
    if values.shape[1] != encoder.dim:
        raise DataError(f"the embedding of {modality} has {values.shape[1]} numbers, this model takes {encoder.dim}")
    if not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise DataError(f"the embedding of {modality} holds numbers beyond float32; send finite ones")
    rows = values.astype(np.float32)
    return _row(encoder.accept(rows) if encoder.takes == "embedding" else rows)


def _row(rows: Floats) -> Floats:
    """The only row of ``(1, d)``."""
    return rows.reshape(-1)


def _free(latent: Floats, codebooks: Floats, catalog: LiveCatalog, modality: int) -> Iterator[bytes]:
    """The free leaves of one modality in the rule's order."""
    for placement in free_leaves(latent, codebooks, lambda prefix: catalog.taken_under(modality, prefix)):
        yield placement.codes.tobytes()


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(f"{path} cannot be loaded: {error}; export the bundle again") from error
