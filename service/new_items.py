"""New items in a list that the generator ranked: it never saw them, so by score alone they hardly ever come up.

The rule. The first ``after`` places keep what the ranking put there. Behind them every ``every``-th place goes to the
best new item that does not stand yet, by a search among the new items alone; the ranking's items follow in their order.
Where one list ends the other goes on. So the first places cost nothing, and how much room new items get is stated.
"""

from collections.abc import Sequence

from service.interleave import interleave
from service.query import Query, Recommended


def places_of_new(query: Query) -> int:
    """How many of the k places go to new items."""
    return max(0, query.k - query.new_after) // query.new_every if query.new_every else 0


def mix(ranked: Sequence[Recommended], new: Sequence[Recommended], after: int, every: int) -> list[Recommended]:
    """Puts the items of ``new``, best first, into ``ranked``, by the rule above; ``every`` is at least 1."""
    return interleave(ranked, new, lambda place: place > after and (place - after) % every == 0)
