"""The constrained beam search as one would write it on paper: a trie of dicts, a list of prefixes, no tricks."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import torch

from model.semantic_ids import PAD, IdSpace
from model.transformer import Memory, Transformer

Codes: TypeAlias = tuple[int, ...]
Node: TypeAlias = dict[int, "Node"]


class Found(NamedTuple):
    """IDs, best first, their mean log-probabilities, and the smallest difference of scores that decided anything."""

    ids: list[Codes]
    scores: list[float]
    margin: float


class Cold(NamedTuple):
    """The IDs of trained items, and the share that others get of what is expected in their place."""

    trained: set[Codes]
    share: float

    def probability(self, prefix: Codes, code: int, log_probabilities: list[float]) -> float:
        """Log-probability of ``code`` after ``prefix``, given those of all codes."""
        probabilities, child = [math.exp(value) for value in log_probabilities], (*prefix, code)
        if any(codes[: len(child)] == child for codes in self.trained):
            return log_probabilities[code]
        expected = sum(value * value for value in probabilities) / sum(probabilities)
        return math.log(1 - (1 - probabilities[code]) * (1 - self.share * expected))


def naive_search(
    transformer: Transformer,
    space: IdSpace,
    modality: int,
    history: list[int],
    ids: Iterable[Codes],
    beams: int,
    cold: Cold,
) -> Found:
    """The ``beams`` best of ``ids`` after the tokens of ``history``, as a beam search of that width finds them."""
    tokens = torch.tensor([history])
    present = torch.ones_like(tokens, dtype=torch.bool)
    memory = transformer.memory(transformer.encode(tokens, present), present)
    kept: list[tuple[float, Codes, Node]] = [(0.0, (), _trie(ids))]
    margin = float("inf")
    for _ in range(space.levels):
        following = _log_probabilities(transformer, space, modality, [prefix for _, prefix, _ in kept], memory)
        children = [
            (score + cold.probability(prefix, code, log_probabilities), (*prefix, code), node[code])
            for (score, prefix, node), log_probabilities in zip(kept, following, strict=True)
            for code in node
        ]
        children.sort(key=lambda child: -child[0])
        margin = min([margin, *(better[0] - worse[0] for better, worse in pairwise(children[: beams + 1]))])
        kept = children[:beams]
    return Found([prefix for _, prefix, _ in kept], [score / space.levels for score, _, _ in kept], margin)


def _trie(ids: Iterable[Codes]) -> Node:
    root: Node = {}
    for codes in ids:
        node = root
        for code in codes:
            node = node.setdefault(code, {})
    return root


def _log_probabilities(
    transformer: Transformer, space: IdSpace, modality: int, prefixes: list[Codes], memory: Memory
) -> list[list[float]]:
    """Of the next level's codes after each prefix, out of all tokens; every prefix is decoded from its start."""
    if not prefixes:
        return []
    level = len(prefixes[0])
    inputs = [[PAD, *(space.token_offset(modality, i) + code for i, code in enumerate(codes))] for codes in prefixes]
    logits = transformer.decode(torch.tensor(inputs), memory)[:, -1].double()
    first = space.token_offset(modality, level)
    codes: list[list[float]] = logits.log_softmax(dim=1)[:, first : first + space.codes].tolist()
    return codes
