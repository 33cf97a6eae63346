"""The constrained beam search behind a causal encoder that goes on where an earlier request stopped.

What was encoded of a history stays as it is when events follow, so that a request pays for the new ones alone.
"""

from torch import Tensor, nn

from model.beam_search import CatalogInputs, ConstrainedBeamSearch
from model.generator_shape import GeneratorShape


def continues(shape: GeneratorShape) -> bool:
    """Whether histories are read so that encoded ones can be continued: causally, and once for all lists."""
    return shape.causal and shape.position == "item"


class ContinuedSearch(nn.Module):
    """A search whose histories may begin with positions that were encoded before; traceable like the search itself."""

    def __init__(self, search: ConstrainedBeamSearch) -> None:
        """Wraps a search whose shape :func:`continues`."""
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
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Searches the best semantic IDs, as :meth:`model.beam_search.ConstrainedBeamSearch.forward`.

        Args:
            tokens: ``(R, S)`` int64 of the positions that are new, at least one in each row.
            modality: as there, like all that follow but the last.
            child_start: as there.
            child_code: as there.
            edge_allowed: as there.
            dead_edges: as there.
            beam: as there.
            edge_cold: as there.
            history: ``(B,)``, as there.
            past: ``(R, Q, state_width)`` float32, what this returned for the first Q positions; Q may be 0.

        Returns:
            Leaf nodes and scores, as there, and the states ``(R, Q + P, state_width)`` with the P new positions.
        """
        transformer = self.of.transformer
        new = transformer.present(tokens)
        states = transformer.encode_on(tokens, new, past)
        present = nn.functional.pad(new, (past.shape[1], 0), value=True)
        memory = transformer.memory(states[..., -transformer.config.d_model :], present).rows(history)
        catalog = CatalogInputs(child_start, child_code, edge_allowed, dead_edges, edge_cold)
        return (*self.of.search(memory, modality, catalog, beam.shape[0]), states)
