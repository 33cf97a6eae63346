from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import DataError
from training.interactions import Interactions


def tiny() -> Interactions:
    return Interactions(
        user_ids=["a", "b\0", "ç"],
        offsets=np.array([0, 2, 2, 5]),
        items=np.array([3, 1, 0, 2, 0], dtype=np.int32),
        timestamps=np.array([10, 20, 5, 6, 7]),
    )


def test_lengths_and_users_follow_the_offsets() -> None:
    interactions = tiny()
    assert (interactions.users, interactions.events) == (3, 5)
    assert interactions.lengths().tolist() == [2, 0, 3]
    assert interactions.user_of_event().tolist() == [0, 0, 2, 2, 2]


def test_arrays_that_do_not_fit_are_refused() -> None:
    good = tiny()
    with pytest.raises(DataError, match="offsets"):
        Interactions(["a"], good.offsets, good.items, good.timestamps)
    with pytest.raises(DataError, match="timestamps"):
        Interactions(good.user_ids, good.offsets, good.items, good.timestamps[:4])


@given(user_ids=st.lists(st.text(max_size=8), max_size=20))
def test_any_user_id_survives_a_round_trip(user_ids: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ids") / "interactions.npz"
    users = len(user_ids)
    Interactions(
        user_ids, np.arange(users + 1), np.arange(users, dtype=np.int32), np.arange(users, dtype=np.int64)
    ).save(path)
    loaded = Interactions.load(path)
    assert loaded.user_ids == user_ids
    assert loaded.items.dtype == np.int32


def test_a_round_trip_keeps_every_array(tmp_path: Path) -> None:
    tiny().save(tmp_path / "interactions.npz")
    loaded = Interactions.load(tmp_path / "interactions.npz")
    for name in ("offsets", "items", "timestamps"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(tiny(), name))


@pytest.mark.parametrize("content", [b"", b"not an archive"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "interactions.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"interactions\.npz"):
        Interactions.load(path)


def test_a_missing_array_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "interactions.npz", offsets=np.zeros(1))
    with pytest.raises(DataError, match="user_bytes"):
        Interactions.load(tmp_path / "interactions.npz")
