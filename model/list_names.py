"""Names of the lists that stand beside the modalities' in weights, answers and results."""

from collections.abc import Iterable

DENSE = "dense"
FUSED = "fused"


def taken_name(modalities: Iterable[str]) -> str | None:
    """The first of some modalities' names that means another list; None if there is none."""
    return next((name for name in modalities if name in (DENSE, FUSED)), None)
