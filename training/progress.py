"""Progress bars with an ETA, on standard error, quiet where there is no terminal."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(steps: Iterable[T], description: str, total: int | None = None, initial: int = 0) -> Iterable[T]:
    """Yields from ``steps`` behind a bar; without a terminal the bar prints at most every ten seconds."""
    return tqdm(
        steps,
        desc=description,
        total=total,
        initial=initial,
        mininterval=0.5,
        maxinterval=10.0,
        disable=None,
        leave=False,
    )
