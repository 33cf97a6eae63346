"""Two ranked lists as one."""

from collections.abc import Callable, Iterator, Sequence

from service.query import Recommended


def interleave(
    first: Sequence[Recommended], second: Sequence[Recommended], is_second: Callable[[int], bool]
) -> list[Recommended]:
    """Fills place after place from one of two lists, each in its own order.

    An item that stands already is passed over, and where one list ends the other goes on.

    Args:
        first: best first.
        second: best first.
        is_second: whether a place, from 1, belongs to the second list.
    """
    found: dict[int, Recommended] = {}
    sources = iter(first), iter(second)
    for place in range(1, len(first) + len(second) + 1):
        turn = is_second(place)
        taken = _next(sources[turn], found) or _next(sources[not turn], found)
        if taken is None:
            break
        found[taken.item] = taken
    return list(found.values())


def _next(source: Iterator[Recommended], found: dict[int, Recommended]) -> Recommended | None:
    """The next item of a list that does not stand yet."""
    return next((recommended for recommended in source if recommended.item not in found), None)
