"""The constrained beam search behind a causal encoder that goes on where an earlier request stopped.

What was encoded of a history stays as it is when events follow, so that a request pays for the new ones alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.beam_search import CatalogInputs, ConstrainedBeamSearch
from model.code_tokens import of_codes
from model.semantic_ids import IdSpace
from model.transformer import Transformer, latest


class ContinuedSearch(nn.Module):
    """A search whose histories may begin with positions that were encoded before; traceable like the search itself."""

    def __init__(self, search: ConstrainedBeamSearch) -> None:
        """Wraps a search whose shape reads items causally."""
        super().__init__()
        self.of = search

    @property
    def state_width(self) -> int:
        """Numbers that are kept of a position."""
        return self.of.transformer.state_width

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
        history: Tensor,
        past: Tensor,
        slots: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        """Searches the best semantic IDs, as :meth:`model.beam_search.ConstrainedBeamSearch.forward`.

        Args:
            tokens: ``(R, S)`` int64 of the positions that are new, at least one in each row.
            modality: as there, like all that follow but ``past``.
            child_start: as there.
            child_code: as there.
            edge_allowed: as there.
            dead_edges: as there.
            beam: as there.
            edge_cold: as there.
            history: ``(B,)``, as there.
            past: ``(R, Q, state_width)`` float32, what this returned for the first Q positions; Q may be 0.
            slots: as there.

        Returns:
            Leaf nodes and scores, as there, the states ``(R, Q + P, state_width)`` with the P new positions, and of a
            generator that scores whole items the affinities ``(R, m, L, M)`` of what comes next to all codes
            (:mod:`model.dense`).
        """
        transformer = self.of.transformer
        new = transformer.present(tokens)
        states = transformer.encode_on(tokens, new, past)
        present = nn.functional.pad(new, (past.shape[1], 0), value=True)
        encoded = states[..., -transformer.config.d_model :]
        memory = transformer.memory(encoded, present).rows(history)
        catalog = CatalogInputs(child_start, child_code, edge_allowed, dead_edges, edge_cold, slots)
        nodes, scores = self.of.search(memory, modality, catalog, beam.shape[0])
        if not self.of.shape.dense:
            return nodes, scores, states
        return nodes, scores, states, affinities(transformer, self.of.space, latest(encoded, present)[:, 0])


@torch.inference_mode()
def affinities_after(search: ConstrainedBeamSearch, tokens: Tensor) -> Tensor:
    """``(R, m, L, M)`` float32 of what follows histories ``(R, S)`` int64, PAD behind short ones."""
    transformer = search.transformer
    present = transformer.present(tokens)
    return affinities(transformer, search.space, latest(transformer.encode(tokens, present), present)[:, 0]).float()


def affinities(transformer: Transformer, space: IdSpace, states: Tensor) -> Tensor:
    """``(..., m, L, M)`` of states ``(..., d_model)``: what each code adds to a dense score (:mod:`model.dense`)."""
    codes_of_item = len(space.modalities) * space.levels
    return of_codes(space, transformer.logits(states) * codes_of_item**-0.5)
