"""How a generator reads a history and what its probabilities range over."""

from typing import Literal, Self

from pydantic import model_validator

from model.config import Config
from model.history_tokens import Position

Softmax = Literal["vocabulary", "catalog"]
Start = Literal["token", "state"]


class GeneratorShape(Config):
    """How the generator reads a history and what its probabilities range over; the defaults are MACRec's (T5's).

    Attributes:
        position: what fills a position of the encoder: one "code" of the searched modality, or an "item" with the sum
            of its codes' embeddings in all modalities.
        causal: whether a position sees only what came before it. One pass over a sequence of events then trains every
            next item of it, and a new event leaves the states of those before it as they are.
        softmax: what a code's probability is normalised over: the whole "vocabulary", or the codes that lead to an item
            of the "catalog" from the same prefix. With the latter the generator need not learn which IDs exist, and the
            probabilities of all items add up to one.
        start: what the decoder starts from: a "token" that is always the same, or that and the encoder's "state" at
            the history's last position. A position of a causal encoder cannot know that it is the last, and attention
            to its states has no order: the state alone tells the decoder where the history ends.
        dense: whether the encoder's states score whole items, too (:mod:`model.dense`).
    """

    position: Position = "code"
    causal: bool = False
    softmax: Softmax = "vocabulary"
    start: Start = "token"
    dense: bool = False

    @model_validator(mode="after")
    def _dense_scores_have_states(self) -> Self:
        """A state at every item, made of what was before it, is what dense scores are trained on."""
        if self.dense and not self.reads_items_causally:
            raise ValueError("dense scores need position = 'item' and causal = true")
        return self

    @property
    def reads_items_causally(self) -> bool:
        """Whether encoded histories can be continued: read causally, and once for all lists."""
        return self.causal and self.position == "item"
