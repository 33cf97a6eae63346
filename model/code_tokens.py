"""The token layout of :mod:`model.semantic_ids` for tensors: from tokens to codes, and the embeddings of all codes."""

from torch import Tensor

from model.semantic_ids import FIRST_CODE_TOKEN, IdSpace


def codes_of(space: IdSpace, tokens: Tensor) -> Tensor:
    """Codes int64 of code tokens, in their shape."""
    return (tokens - FIRST_CODE_TOKEN) % space.codes


def modality_of(space: IdSpace, tokens: Tensor) -> Tensor:
    """Index int64 of the modality of code tokens, in their shape."""
    return (tokens - FIRST_CODE_TOKEN) // (space.levels * space.codes)


def of_codes(space: IdSpace, values: Tensor) -> Tensor:
    """``(..., m, L, M)`` of values for all tokens ``(..., vocabulary)``: those of codes."""
    found = values[..., FIRST_CODE_TOKEN : space.first_prompt_token]
    return found.view(*found.shape[:-1], len(space.modalities), space.levels, space.codes)


def code_embeddings(space: IdSpace, embedding: Tensor) -> Tensor:
    """The rows ``(m, L, M, d)`` of an embedding ``(vocabulary, d)`` that belong to codes."""
    rows = embedding[FIRST_CODE_TOKEN : space.first_prompt_token]
    return rows.view(len(space.modalities), space.levels, space.codes, -1)
