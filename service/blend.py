"""What is recommended to somebody of whom little is known: generated and popular items in one list."""

from collections.abc import Iterator, Sequence

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
    found: dict[int, Recommended] = {}
    sources = iter(generated), iter(popular)
    for place in range(len(generated) + len(popular)):
        is_popular = place % enough >= known
        taken = _next(sources[is_popular], found) or _next(sources[not is_popular], found)
        if taken is None:
            break
        found[taken.item] = taken
    return list(found.values())


def _next(source: Iterator[Recommended], found: dict[int, Recommended]) -> Recommended | None:
    """The next item of a list that does not stand yet."""
    return next((recommended for recommended in source if recommended.item not in found), None)
