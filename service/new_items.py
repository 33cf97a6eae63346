"""New items in a list that the generator ranked: it never saw them, so by score alone they hardly ever come up.

The rule. The first ``after`` places keep what the ranking put there. Behind them every ``every``-th place goes to the
best new item that does not stand yet, by a search among the new items alone; the ranking's items follow in their order.
Where one list ends the other goes on. So the first places cost nothing, and how much room new items get is stated.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from model.live_catalog import LiveCatalog
from service.query import Query, Recommended


def is_new(catalog: LiveCatalog) -> NDArray[np.bool_]:
    """Which items ``(N,)`` occur nowhere in training."""
    mask: NDArray[np.bool_] = catalog.popularity == 0
    return mask


def places_of_new(query: Query) -> int:
    """How many of the k places go to new items."""
    return max(0, query.k - query.new_after) // query.new_every if query.new_every else 0


def mix(ranked: Sequence[Recommended], new: Sequence[Recommended], after: int, every: int) -> list[Recommended]:
    """Puts the items of ``new``, best first, into ``ranked``, by the rule above; ``every`` is at least 1."""
    found: dict[int, Recommended] = {}
    kept, added = iter(ranked), iter(new)
    for place in range(1, len(ranked) + len(new) + 1):
        its_turn = place > after and (place - after) % every == 0
        first, second = (added, kept) if its_turn else (kept, added)
        taken = _next(first, found) or _next(second, found)
        if taken is None:
            break
        found[taken.item] = taken
    return list(found.values())


def _next(source: Iterator[Recommended], found: dict[int, Recommended]) -> Recommended | None:
    """The next item of a list that does not stand yet."""
    return next((recommended for recommended in source if recommended.item not in found), None)
