"""What is recommended when nothing is known of a user: the most popular items that the request allows."""

import numpy as np
from numpy.typing import NDArray

from model.live_catalog import LiveCatalog
from service.query import Recommended
from service.scope import Scope

FIRST_LOOK = 1024


def popular_items(catalog: LiveCatalog, scope: Scope, count: int) -> list[Recommended]:
    """The ``count`` most popular items that may come back, each scored by its share of all events."""
    total = max(catalog.base.events, 1)
    items = _first_kept(scope, min(count, scope.reachable))
    counts = catalog.popularity_of(items)
    return [
        Recommended(item, often / total, {}, {}) for item, often in zip(items.tolist(), counts.tolist(), strict=True)
    ]


def _first_kept(scope: Scope, count: int) -> NDArray[np.integer]:
    """The first ``count`` items by popularity that may come back, looking at twice as many as before each time."""
    found: list[NDArray[np.integer]] = []
    missing, look = count, FIRST_LOOK
    for part in scope.popular:
        start = 0
        while missing > 0 and start < len(part):
            candidates = part[start : start + look]
            found.append(candidates[scope.keeps(candidates)])
            missing, start, look = missing - len(found[-1]), start + look, 2 * look
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])[:count]
