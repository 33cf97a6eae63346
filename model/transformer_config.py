"""The sizes and the shape of the encoder-decoder."""

from model.config import Config


class TransformerSizes(Config):
    """Sizes of the encoder-decoder; the defaults are MACRec's."""

    d_model: int = 128
    d_ff: int = 1024
    heads: int = 6
    d_head: int = 64
    encoder_layers: int = 4
    decoder_layers: int = 4
    position_buckets: int = 32
    max_distance: int = 128
    dropout: float = 0.1

    @property
    def inner(self) -> int:
        """The width of all heads together."""
        return self.heads * self.d_head


class TransformerConfig(TransformerSizes):
    """Sizes together with what depends on the ID space and on how histories are read.

    Attributes:
        vocabulary: the number of tokens.
        tokens_per_position: how many tokens of the history share one position of the encoder; their embeddings are
            summed and divided by the root of their number.
        causal: whether a position of the encoder sees only itself and those before it.
        starts_from_state: whether the state of the last position is added to the decoder's first input.
    """

    vocabulary: int
    tokens_per_position: int = 1
    causal: bool = False
    starts_from_state: bool = False
