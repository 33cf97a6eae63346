"""Constrained beam search as one torch module: from history tokens to leaves, in one traceable graph.

Offline evaluation runs it in torch; training exports it to ONNX for serving. The trie, the filter, the exclusions and
the beam width are inputs, so a catalog is swapped and a request's rules change without touching the model.

A beam's score is the sum of the log-probabilities of its codes; what is returned is the mean per code. As the generator
was trained, a code's probability is from a softmax over the whole vocabulary, masked afterwards and not renormalised,
or from one over the codes that lead to an item of the catalog from the same prefix, whatever a request's rules allow.
Of these, trained items range over trained ones alone, and a new one over those and itself, so that what is added to a
catalog changes no other item's score, and neither does a filter. A generator gives almost nothing to codes that it
never saw after a prefix: new items come up by other means (:mod:`model.codewords`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.code_tokens import code_embeddings
from model.generator_shape import GeneratorShape
from model.onnx_operators import divide, log_sigmoid, number, take
from model.semantic_ids import PAD, IdSpace
from model.transformer import Memory, Past, Transformer

NOWHERE = -1e9


class CatalogInputs(NamedTuple):
    """The catalog and the request's rules as the search reads them.

    Attributes:
        child_start: ``(I + 1,)`` int32, as in :class:`model.trie.Trie`.
        child_code: ``(E,)`` uint8, likewise.
        edge_cold: ``(E,)`` bool, True at edges below which no item was trained.
        edge_allowed: ``(E,)`` bool, False at edges below which a shared filter allows nothing.
        dead_edges: ``(B, L, X)`` int32 edges that one request forbids, per row and level, padded with -1.
        slots: for each level ``(F,)`` int64, 0 to F - 1 for nodes with up to F children, so that no more are looked at.
    """

    child_start: Tensor
    child_code: Tensor
    edge_allowed: Tensor
    dead_edges: Tensor
    edge_cold: Tensor
    slots: Sequence[Tensor]


class Beams(NamedTuple):
    """W partial IDs of each row: trie nodes, summed log-probabilities and last tokens, each ``(B, W)``."""

    nodes: Tensor
    scores: Tensor
    tokens: Tensor


class ConstrainedBeamSearch(nn.Module):
    """L unrolled decode steps, each followed by an expansion along the trie's edges."""

    def __init__(self, transformer: Transformer, space: IdSpace, shape: GeneratorShape | None = None) -> None:
        super().__init__()
        self.transformer = transformer
        self.space = space
        self.shape = shape or GeneratorShape()

    def forward(
        self,
        tokens: Tensor,
        modality: Tensor,
        child_start: Tensor,
        child_code: Tensor,
        edge_allowed: Tensor,
        dead_edges: Tensor,
        beam: Tensor,
        edge_cold: Tensor,
        history: Tensor | None = None,
        slots: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Searches the best semantic IDs.

        Args:
            tokens: ``(R, S)`` int64 tokens of R histories, PAD after the last.
            modality: ``(B,)`` int64, which modality's IDs each row searches.
            child_start: see :class:`CatalogInputs`, as the next three.
            child_code: edges' codes.
            edge_allowed: the shared filter.
            dead_edges: each row's exclusions.
            beam: ``(W,)``, any numeric type: its length is the beam width.
            edge_cold: see :class:`CatalogInputs`.
            history: ``(B,)`` int64, which history each row reads; None if each row has its own. Where a position is an
                item, all lists of a user read the same one, which is then encoded once.
            slots: see :class:`CatalogInputs`, as many as :attr:`model.trie.Trie.fan_outs` says; of all M codes if None.

        Returns:
            Leaf nodes ``(B, W)`` int64, best first, -1 where there are fewer leaves than beams, and their mean
            log-probability per code ``(B, W)`` float32, -inf there.
        """
        if slots is None:
            slots = [torch.arange(self.space.codes, device=tokens.device)] * self.space.levels
        catalog = CatalogInputs(child_start, child_code, edge_allowed, dead_edges, edge_cold, slots)
        return self.search(self._memory(tokens, history), modality, catalog, beam.shape[0])

    def search(self, memory: Memory, modality: Tensor, catalog: CatalogInputs, width: int) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, for histories that are encoded, one for each row."""
        beams = Beams(
            nodes=modality[:, None] + 1,
            scores=torch.zeros_like(modality, dtype=torch.float32)[:, None],
            tokens=torch.full_like(modality, PAD)[:, None],
        )
        past: Past | None = None
        looked_up = self._is_looked_up(modality.shape[0] * width * self.space.levels)
        of_tokens = self.transformer.project_tokens() if looked_up else None
        for level in range(self.space.levels):
            states, past = self.transformer.decode_step(beams.tokens, past, memory, of_tokens)
            beams, parents = self._expand(states, beams, catalog, modality, level, width)
            rows = _rows(parents, states.shape[1])
            past = [(take(keys, rows), take(values, rows)) for keys, values in past]
        found = beams.scores > -torch.inf
        return torch.where(found, beams.nodes, -1), beams.scores / self.space.levels

    def _memory(self, tokens: Tensor, history: Tensor | None) -> Memory:
        """What the decoder reads for each of the B rows."""
        if history is not None and self.shape.position == "code":
            # Tokens of codes are of one modality, so that hardly any two rows have the same.
            tokens, history = tokens.index_select(0, history), None
        present = self.transformer.present(tokens)
        looked_up = self.shape.position == "code" and self._is_looked_up(tokens.numel())
        of_tokens = self.transformer.project_positions() if looked_up else None
        memory = self.transformer.memory(self.transformer.encode(tokens, present, of_tokens), present)
        return memory if history is None else memory.rows(history)

    def _is_looked_up(self, tokens: int) -> bool:
        """Whether what first layers compute of so many tokens is looked up: in a graph all tokens' are a constant."""
        return torch.compiler.is_exporting() or tokens >= self.transformer.config.vocabulary

    def _expand(
        self, states: Tensor, beams: Beams, catalog: CatalogInputs, modality: Tensor, level: int, width: int
    ) -> tuple[Beams, Tensor]:
        """The best ``width`` children of all beams, and the beam ``(B, width)`` that each child continues."""
        first_token = self.space.token_offset(0, level) + modality * (self.space.levels * self.space.codes)
        edges, codes, exists = self._children(beams.nodes, catalog, level)
        if self.shape.softmax == "vocabulary":
            log_probabilities = self._over_vocabulary(states, first_token, codes)
        else:
            cold = take(catalog.edge_cold, edges)
            of_level = code_embeddings(self.space, self.transformer.embedding)[:, level].index_select(0, modality)
            log_probabilities = self._over_catalog(states, of_level, codes, exists, cold)
        scores = beams.scores[:, :, None] + log_probabilities
        allowed = self._alive(beams.nodes, exists, catalog, level) & take(catalog.edge_allowed, edges)
        scores = scores.masked_fill(~allowed, -torch.inf).flatten(1)
        if level == 0:
            scores = F.pad(scores, (0, width), value=-torch.inf)
        best, slots = scores.topk(width, dim=1)
        if level == 0:
            # Padding slots lie behind the last child.
            slots = torch.minimum(slots, number(codes.shape[1] * codes.shape[2] - 1, slots.device))
        # A beam that found nothing waits at the super-root, its score -inf.
        nodes = torch.where(best > -torch.inf, edges.flatten(1).gather(1, slots) + 1, 0)
        tokens = codes.flatten(1).gather(1, slots) + first_token[:, None]
        return Beams(nodes, best, tokens), divide(slots, number(codes.shape[2], slots.device))

    def _children(self, nodes: Tensor, catalog: CatalogInputs, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Edges, codes and existence ``(B, W, F)`` of every beam's children, F slots for each."""
        start = take(catalog.child_start, nodes).long()[:, :, None]
        end = take(catalog.child_start, nodes + 1).long()[:, :, None]
        slots = catalog.slots[level]
        edges = torch.minimum(start + slots, number(catalog.child_code.shape[0] - 1, slots.device))
        return edges, take(catalog.child_code, edges).long(), start + slots < end

    def _alive(self, nodes: Tensor, exists: Tensor, catalog: CatalogInputs, level: int) -> Tensor:
        """Which of the slots that exist ``(B, W, F)`` are not dead; an edge of ``(B, X)`` is a slot of its own beam."""
        start, most = take(catalog.child_start, nodes).long()[:, :, None], number(exists.shape[2], exists.device)
        # The edges of other nodes fall on a slot before the first or behind the last.
        slots = torch.minimum((catalog.dead_edges[:, level].long()[:, None, :] - start).clamp(min=-1), most) + 1
        cleared = F.pad(exists, (1, 1)).scatter(2, slots, torch.zeros_like(slots, dtype=torch.bool))
        return cleared[:, :, 1:-1]

    def _over_vocabulary(self, states: Tensor, first_token: Tensor, codes: Tensor) -> Tensor:
        """Log-probabilities ``(B, W, F)`` of children with ``codes``, normalised over all tokens."""
        of_all = self.transformer.logits(states).float().log_softmax(dim=2)
        return of_all.gather(2, codes + first_token[:, None, None])

    def _over_catalog(self, states: Tensor, of_level: Tensor, codes: Tensor, exists: Tensor, cold: Tensor) -> Tensor:
        """Log-probabilities ``(B, W, F)`` of children with ``codes``, normalised over trained children.

        ``of_level`` are the embeddings ``(B, M, d_model)`` of the level's codes.
        """
        logits = self.transformer.logits_of(states, of_level).float().gather(2, codes)
        # A finite number, for exp(-inf - -inf) is none where no child was trained.
        own = logits - _log_sum(logits.masked_fill(~exists | cold, NOWHERE))
        # A new code is one beside those: log(p / (1 + p)) where p = exp(own).
        return torch.where(cold, log_sigmoid(own), own)


def _log_sum(logarithms: Tensor) -> Tensor:
    """The logarithm ``(B, W, 1)`` of the sum of numbers whose logarithms are ``(B, W, F)``.

    By a softmax, which runtimes are quick at, where sums of exponentials are slow.
    """
    return logarithms.amax(dim=2, keepdim=True) - logarithms.log_softmax(dim=2).amax(dim=2, keepdim=True)


def _rows(parents: Tensor, width: int) -> Tensor:
    """``parents`` ``(B, W)``, each of ``width`` beams of its row, as rows ``(B * W,)`` of all beams."""
    first = torch.arange(0, parents.shape[0] * width, width, device=parents.device)
    return (parents + first[:, None]).flatten()
