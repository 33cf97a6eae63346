"""Saving and loading encoders: a folder with encoder.json, arrays.safetensors and, for text, terms.json. No pickle."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from model.encoders.base import Encoder
from model.encoders.given import GivenEncoder, GivenState
from model.encoders.picture import PictureEncoder, PictureState
from model.encoders.tfidf import TfidfEncoder, TfidfState
from model.errors import BundleError

SETTINGS = "encoder.json"
ARRAYS = "arrays.safetensors"
TERMS = "terms.json"

State = Annotated[TfidfState | PictureState | GivenState, Field(discriminator="kind")]
_STATES: TypeAdapter[TfidfState | PictureState | GivenState] = TypeAdapter(State)


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Writes ``encoder`` into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    match encoder:
        case TfidfEncoder():
            arrays = {"idf": encoder.idf, "components": encoder.components}
            (folder / TERMS).write_text(json.dumps(encoder.vocabulary, ensure_ascii=False), encoding="utf-8")
        case PictureEncoder():
            arrays = {"mean": encoder.mean, "scale": encoder.scale, "components": encoder.components}
        case GivenEncoder():
            arrays = {}
        case _:
            raise TypeError(f"{type(encoder).__name__} has no saved form")
    if arrays:
        (folder / ARRAYS).write_bytes(save(arrays))
    (folder / SETTINGS).write_text(encoder.state.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_encoder(folder: Path) -> Encoder:
    """The encoder that :func:`save_encoder` wrote into ``folder``.

    Raises:
        BundleError: if a file is missing, damaged, or does not fit the others.
    """
    try:
        state = _STATES.validate_json((folder / SETTINGS).read_bytes())
        match state:
            case TfidfState():
                arrays = load_file(folder / ARRAYS)
                vocabulary = TypeAdapter(list[str]).validate_json((folder / TERMS).read_bytes())
                return TfidfEncoder(state, vocabulary, _floats(arrays, "idf"), _floats(arrays, "components"))
            case PictureState():
                arrays = load_file(folder / ARRAYS)
                parts = [_floats(arrays, name) for name in ("mean", "scale", "components")]
                return PictureEncoder(state, *parts)
            case GivenState():
                return GivenEncoder(state)
    except (OSError, ValidationError, SafetensorError) as error:
        raise BundleError(f"the encoder in {folder} cannot be read: {error}") from error


def _floats(arrays: dict[str, NDArray[np.generic]], name: str) -> NDArray[np.float32]:
    if name not in arrays:
        raise BundleError(f"the encoder's {ARRAYS} lacks {name!r}; it holds {sorted(arrays)}")
    return arrays[name].astype(np.float32, copy=False)
