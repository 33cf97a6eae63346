"""What the beam loses: lists of several widths against the scores of every item's own ID.

A search with as many beams as there are leaves drops nothing, so its list IS every item by the log-probability of its
ID; the constrained search then shares the prefixes' work among the items.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.compare.systems import Generating
from training.metrics import gains, hits
from training.validation import Found, find_targets, main_list

WIDTHS = (10, 20, 50, 100)
CELLS_AT_ONCE = 4_000_000
USERS_TIMES_ITEMS = 200_000
FEWEST, MOST = 16, 200
CUT = 10


def beam_losses(system: Generating, seed: int) -> dict[str, Any]:
    """HR@10, NDCG@10 and the share of the exact first ten items, for each width and exactly, seen items left in.

    Measured on a sample of users that shrinks with the catalog, drawn by ``seed``.
    """
    everyone = system.users(system.split)
    wanted = int(np.clip(USERS_TIMES_ITEMS // system.items, FEWEST, MOST))
    users = np.sort(np.random.default_rng(seed).choice(everyone, min(wanted, len(everyone)), replace=False))
    exact = _found(system, users, system.items)
    widths = {str(width): _against(_found(system, users, width), exact) for width in WIDTHS}
    return {"users": len(users), "widths": widths, "exact": _against(exact, exact)}


def _found(system: Generating, users: NDArray[np.int64], width: int) -> Found:
    """The main list of a search with ``width`` beams."""
    rows = max(1, min(128, CELLS_AT_ONCE // (width * system.data.space.codes)))
    held_out = system.held_out(system.split, users, remove_seen=False)
    return main_list(find_targets(system.retriever(rows), held_out, width, system.fusion))


def _against(found: Found, exact: Found) -> dict[str, float]:
    shared = [
        len(np.intersect1d(one[:CUT], other[:CUT])) / max(1, len(other[:CUT]))
        for one, other in zip(found.items, exact.items, strict=True)
    ]
    return {
        "hr@10": round(float(hits(found.ranks.item, CUT).mean()), 5),
        "ndcg@10": round(float(gains(found.ranks.item, CUT).mean()), 5),
        "overlap@10": round(float(np.mean(shared)), 5),
    }
