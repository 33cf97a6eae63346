import numpy as np
import pytest

from model.history_tokens import as_position, history_tokens, tokens_per_item
from model.semantic_ids import IdSpace

SPACE = IdSpace(("text", "image"), levels=2, codes=5)
CODES = {0: np.array([[1, 4]], dtype=np.uint8), 1: np.array([[0, 2]], dtype=np.uint8)}


def test_an_item_is_read_by_its_codes_in_the_searched_modality_or_in_all() -> None:
    """Tokens by hand: 1 + (modality * 2 + level) * 5 + code."""
    assert history_tokens(SPACE, "code", 0, CODES).tolist() == [[2, 10]]
    assert history_tokens(SPACE, "code", 1, {1: CODES[1]}).tolist() == [[11, 18]]
    for modality in (0, 1):
        assert history_tokens(SPACE, "item", modality, CODES).tolist() == [[2, 10, 11, 18]]
    assert [tokens_per_item(SPACE, "code"), tokens_per_item(SPACE, "item")] == [2, 4]


def test_a_position_that_does_not_exist_is_named() -> None:
    assert [as_position(name) for name in ("code", "item")] == ["code", "item"]
    with pytest.raises(ValueError, match="'token'"):
        as_position("token")
