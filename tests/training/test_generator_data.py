import pytest

from model.errors import DataError
from tests.toys import data_of, random_codes


def test_items_on_one_leaf_stand_by_training_count_then_id() -> None:
    codes = random_codes(4)
    codes[0] = codes[0, 0]
    # Training parts: [3, 1], [3]; held-out items do not count.
    data = data_of([[3, 1, 2, 2], [3, 2, 2]], codes)
    assert data.trie.leaf_items(0).tolist() == [3, 1, 0, 2]


def test_users_of_whom_nothing_can_be_held_out_are_no_training_data() -> None:
    with pytest.raises(DataError, match="no user has 3 events"):
        data_of([[0, 1], [2]], random_codes(4))
