"""Training state on disk: written whole or not at all, and read back exactly."""

from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values under a temporary name and renames the finished file."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in ``path``, or None if there is none; nothing but tensors and plain values is unpickled."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of the random numbers that dropout draws."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Sets what :func:`random_state` read."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
