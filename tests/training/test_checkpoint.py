from pathlib import Path

import pytest
import torch

from training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint

CPU = torch.device("cpu")


class Unsafe:
    """Something that only a real unpickler could bring back."""


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    state = {"weights": {"a": torch.randn(3)}, "position": (1, 2, 3), "best": 0.1, "config": "{}"}
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    loaded = load_checkpoint(tmp_path / "checkpoint.pt", CPU)
    assert loaded is not None
    assert torch.equal(loaded["weights"]["a"], state["weights"]["a"])  # type: ignore[index]
    assert {name: loaded[name] for name in ("position", "best", "config")} == {
        name: state[name] for name in ("position", "best", "config")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint.pt", CPU) is None


def test_a_write_that_fails_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises((AttributeError, TypeError), match=r"lambda|pickle"):
        save_checkpoint(path, {"step": 2, "bad": lambda: None})
    assert load_checkpoint(path, CPU) == {"step": 1}


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    torch.save({"object": Unsafe()}, tmp_path / "checkpoint.pt")
    with pytest.raises(Exception, match="Unsafe"):
        load_checkpoint(tmp_path / "checkpoint.pt", CPU)


def test_random_numbers_go_on_where_they_were() -> None:
    state = random_state(CPU)
    expected = torch.rand(5)
    restore_random_state(state, CPU)
    assert torch.equal(torch.rand(5), expected)
