"""What is recommended to somebody of whom little is known: generated and popular items in one list."""

from collections.abc import Sequence

from service.interleave import interleave
from service.query import Recommended


def blend(
    generated: Sequence[Recommended], popular: Sequence[Recommended], known: int, enough: int
) -> list[Recommended]:
    """Mixes two lists by the number of items that are known of a user.

    Of every ``enough`` places the first ``known`` belong to the generated list and the rest to the popular one, each in
    its own order. An item that stands already is passed over, and where one list ends the other goes on.

    Args:
        generated: found by the search, best first.
        popular: most popular first.
        known: distinct known items of the history, 1 or more.
        enough: from how many on nothing is mixed.
    """
    return interleave(generated, popular, lambda place: (place - 1) % enough >= known)
