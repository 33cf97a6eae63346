"""Embeddings of items, one per modality: given, made offline, or by a large model; and imputed where one is missing."""

from training.embeddings.config import EmbeddingsConfig
from training.embeddings.stage import run

__all__ = ["EmbeddingsConfig", "run"]
