"""Loading large models, which are an optional installation, and checking what they give."""

import importlib
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from model.encoders import Embeddings
from model.encoders.given import GivenEncoder, GivenState
from model.errors import ConfigError
from training.embeddings.rows import BadRows, Rows, scatter
from training.embeddings.sources import HubConfig, Inputs

CHUNK = 512


def optional(module: str) -> ModuleType:
    """Imports a module of the dependency group "hub".

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{module} is not installed; install the dependency group 'hub' (uv sync --group hub), or choose an "
            "offline source (kind: tfidf or picture)"
        ) from error


def cannot_load(config: HubConfig, error: Exception) -> ConfigError:
    """The error for a model that is neither on the hub nor in a local folder."""
    return ConfigError(f"the model {config.model!r} cannot be loaded; name a hub model or a local folder. {error}")


def encoder_of(config: HubConfig, dim: int) -> GivenEncoder:
    """Serving cannot run such a model: callers send its embeddings."""
    origin = config.model if config.revision is None else f"{config.model}@{config.revision}"
    return GivenEncoder(GivenState(dim=dim, normalize=config.normalize, origin=origin))


def checked(embedded: Embeddings, found: Sequence[int], rows: range, inputs: Inputs, bad: BadRows) -> Rows:
    """The embeddings of the ``found`` rows, set among all ``rows``; those with NaN or infinity go to ``bad``."""
    finite = np.asarray(np.isfinite(embedded).all(axis=1))
    for row in np.asarray(found, dtype=np.int64)[~finite].tolist():
        bad.add(row, inputs.items[row].id, "the model's embedding holds NaN or infinity")
    return Rows(scatter(np.where(finite[:, None], embedded, 0), found, rows), bad.reasons)
