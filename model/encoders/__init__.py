"""Encoders of text and pictures that need numpy and Pillow alone, so that training and serving run the same code.

Start with :func:`load_encoder`; what an encoder can do is in :class:`Encoder`. Files become pictures by :func:`decode`.
"""

from model.encoders.base import Embeddings, Encoder, TextFields
from model.encoders.decoding import decode
from model.encoders.state import load_encoder, save_encoder

__all__ = ["Embeddings", "Encoder", "TextFields", "decode", "load_encoder", "save_encoder"]
