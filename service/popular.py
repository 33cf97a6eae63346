"""What is recommended when nothing is known of a user: the most popular items that the request allows."""

import numpy as np
from numpy.typing import NDArray

from model.live_catalog import LiveCatalog
from service.query import Recommended
from service.scope import Scope

FIRST_LOOK = 1024


def popular_items(catalog: LiveCatalog, scope: Scope, count: int) -> list[Recommended]:
    """The ``count`` most popular items that may come back, each scored by its share of all events."""
    total = max(int(catalog.popularity.sum(dtype=np.int64)), 1)
    items = _first_kept(scope, min(count, scope.reachable))
    return [Recommended(item, float(catalog.popularity[item] / total), {}, {}) for item in items.tolist()]


def _first_kept(scope: Scope, count: int) -> NDArray[np.integer]:
    """The first ``count`` items by popularity that may come back, looking at twice as many as before each time."""
    found = [scope.popular[:0]]
    start, end = 0, FIRST_LOOK
    while sum(map(len, found)) < count and start < len(scope.popular):
        candidates = scope.popular[start:end]
        found.append(candidates[scope.keeps(candidates)])
        start, end = end, 3 * end - 2 * start
    return np.concatenate(found)[:count]
