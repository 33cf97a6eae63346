"""The constrained beam search as one would write it on paper: a trie of dicts, a list of prefixes, no tricks."""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import torch

from model.generator_shape import Softmax
from model.semantic_ids import PAD, IdSpace
from model.transformer import Memory, Transformer

Codes: TypeAlias = tuple[int, ...]
Node: TypeAlias = dict[int, "Node"]


class Found(NamedTuple):
    """IDs, best first, their mean log-probabilities, and the smallest difference of scores that decided anything."""

    ids: list[Codes]
    scores: list[float]
    margin: float


class Level(NamedTuple):
    """The logits of one level's codes after a prefix, and the logarithm of the sum of all tokens' exponentials."""

    logits: list[float]
    whole: float


class Cold(NamedTuple):
    """The IDs of trained items, and the softmax."""

    trained: set[Codes]
    softmax: Softmax = "vocabulary"

    def log_probability(self, prefix: Codes, code: int, level: Level) -> float:
        """Of ``code`` after ``prefix``."""
        if self.softmax == "vocabulary":
            return level.logits[code] - level.whole
        siblings = {codes[len(prefix)] for codes in self.trained if codes[: len(prefix)] == prefix}
        weights = {each: math.exp(level.logits[each]) for each in siblings | {code}}
        return math.log(weights[code] / sum(weights.values()))


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
    present = transformer.present(tokens)
    memory = transformer.memory(transformer.encode(tokens, present), present)
    kept: list[tuple[float, Codes, Node]] = [(0.0, (), _trie(ids))]
    margin = float("inf")
    for _ in range(space.levels):
        following = _levels(transformer, space, modality, [prefix for _, prefix, _ in kept], memory)
        children = [
            (score + cold.log_probability(prefix, code, level), (*prefix, code), node[code])
            for (score, prefix, node), level in zip(kept, following, strict=True)
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


def _levels(
    transformer: Transformer, space: IdSpace, modality: int, prefixes: list[Codes], memory: Memory
) -> list[Level]:
    """What follows each prefix; every prefix is decoded from its start."""
    if not prefixes:
        return []
    level = len(prefixes[0])
    inputs = [[PAD, *(space.token_offset(modality, i) + code for i, code in enumerate(codes))] for codes in prefixes]
    logits = transformer.decode(torch.tensor(inputs), memory)[:, -1].double()
    first = space.token_offset(modality, level)
    return [Level(row[first : first + space.codes].tolist(), row.logsumexp(0).item()) for row in logits]
