"""Unique semantic IDs: the nearest-free-code rule, in numpy, for a whole catalog and for one item that joins it.

The rule (MQL4GRec's, as MACRec uses it, made exact), for the items of one modality:

1. **Greedy codes.** Every item takes the nearest code (squared L2, ties to the smaller code) at every level.
2. **Keepers.** Of the items that share an ID, the one closest to its last code keeps it (ties to the smaller index),
   unless the ID is reserved. All keepers settle before anyone moves.
3. **Last level.** The others move. Under each prefix (the first L - 1 codes) they are taken in the order (distance to
   the last greedy code, index), and each settles on its nearest free last code (ties to the smaller code).
4. **Level before.** Those whose prefix filled up wait until step 3 is done everywhere. Under each parent (the first
   L - 2 codes) they are taken in the same order: each takes the nearest code of the level before whose prefix still has
   a free last code, and settles on the free last code that is nearest to its new residual.
5. **No room.** An item whose parent is full too keeps its greedy ID and shares the leaf: reported, never lost.

Prefixes do not influence each other in step 3, nor parents in step 4, so all of them advance together, one item each
per round. Only items that move pay for distances again. Distances are float32; the result is deterministic.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

KEPT, MOVED_LAST, MOVED_BEFORE, SHARED = range(4)

_CHUNK_ROWS = 16_384  # rows whose (rows, M) float32 distances stand in memory at once: 16 MB at M = 256
_TABLE_CELLS = 1 << 24  # leaves whose occupancy stands in memory at once: 16 MB


class Greedy(NamedTuple):
    """Nearest codes ``(N, L)`` uint8 and the squared distance ``(N,)`` float32 to the last one."""

    codes: Codes
    distance: Floats


class Assignment(NamedTuple):
    """The IDs of a catalog's items.

    Attributes:
        codes: ``(N, L)`` uint8.
        greedy: ``(N, L)`` uint8, the IDs before anyone moved.
        outcome: ``(N,)`` uint8, how each ID came about: KEPT, MOVED_LAST, MOVED_BEFORE or SHARED.
    """

    codes: Codes
    greedy: Codes
    outcome: Codes


class Placement(NamedTuple):
    """The ID ``(L,)`` uint8 of one item and how it came about."""

    codes: Codes
    outcome: int


def nearest_codes(latents: Floats, codebooks: Floats) -> Greedy:
    """Step 1, for latents ``(N, d)`` and codebooks ``(L, M, d)`` float32."""
    codes = np.empty((len(latents), len(codebooks)), dtype=np.uint8)
    distance = np.empty(len(latents), dtype=np.float32)
    for first in range(0, len(latents), _CHUNK_ROWS):
        rows = slice(first, first + _CHUNK_ROWS)
        residual = latents[rows]
        for level, codebook in enumerate(codebooks):
            codes[rows, level] = _scores(residual, codebook).argmin(axis=1)
            residual = residual - codebook[codes[rows, level]]
        distance[rows] = np.square(residual).sum(axis=1)
    return Greedy(codes, distance)


def assign(latents: Floats, codebooks: Floats, reserved: Codes | None = None) -> Assignment:
    """Gives every item an ID of its own by the module's rule, as far as there is room.

    Args:
        latents: ``(N, d)`` float32.
        codebooks: ``(L, M, d)`` float32.
        reserved: ``(R, L)`` uint8, IDs that are taken by items which must not move.
    """
    greedy = nearest_codes(latents, codebooks)
    reserved = greedy.codes[:0] if reserved is None else reserved
    result = Assignment(greedy.codes.copy(), greedy.codes, np.full(len(latents), KEPT, dtype=np.uint8))
    movers = _movers(greedy, reserved)
    result.outcome[movers] = SHARED
    _move_last(result, movers, reserved, latents, codebooks)
    left = movers[result.outcome[movers] == SHARED]
    if len(codebooks) > 1:
        _move_before(result, left, reserved, latents, codebooks)
    return result


def place(latent: Floats, codebooks: Floats, taken_under: Callable[[tuple[int, ...]], Mask]) -> Placement:
    """The same rule for ONE item that joins a settled catalog: what :func:`assign` does with all its IDs reserved.

    Args:
        latent: ``(d,)`` float32.
        codebooks: ``(L, M, d)`` float32.
        taken_under: which last codes ``(M,)`` are taken under a prefix of L - 1 codes; asked once as a rule, M + 1
            times at worst.
    """
    greedy = nearest_codes(latent[None], codebooks).codes[0]
    return next(free_leaves(latent, codebooks, taken_under), Placement(greedy, SHARED))


def free_leaves(
    latent: Floats, codebooks: Floats, taken_under: Callable[[tuple[int, ...]], Mask]
) -> Iterator[Placement]:
    """All free leaves that :func:`place` would try, in its order: each is its answer if those before it were taken."""
    codes = nearest_codes(latent[None], codebooks).codes[0]
    *prefix, last = codes.tolist()
    for code in _free_codes(_residual(latent[None], codes[None], codebooks[:-1]), codebooks[-1], taken_under, prefix):
        yield Placement(np.array([*prefix, code], dtype=np.uint8), KEPT if code == last else MOVED_LAST)
    if len(codebooks) == 1:
        return
    residual = _residual(latent[None], codes[None], codebooks[:-2])
    for before in np.argsort(_scores(residual, codebooks[-2])[0], kind="stable").tolist():
        if before != prefix[-1]:
            other = [*prefix[:-1], before]
            for code in _free_codes(residual - codebooks[-2][before], codebooks[-1], taken_under, other):
                yield Placement(np.array([*other, code], dtype=np.uint8), MOVED_BEFORE)


def _free_codes(
    residual: Floats, codebook: Floats, taken_under: Callable[[tuple[int, ...]], Mask], prefix: list[int]
) -> Iterator[int]:
    """The free last codes under a prefix, the nearest to the residual ``(1, d)`` first."""
    taken = taken_under(tuple(prefix))
    if not taken.all():
        nearest = np.argsort(_scores(residual, codebook)[0], kind="stable")
        yield from nearest[~taken[nearest]].tolist()


def collision_rate(codes: Codes) -> float:
    """The share of items beyond the first of their ID ``(N, L)``: (N - distinct IDs) / N."""
    return (len(codes) - len(np.unique(prefix_numbers(codes)))) / max(1, len(codes))


def prefix_numbers(codes: Codes) -> Rows:
    """Numbers ``(N,)`` from 0 without gaps, equal exactly where all of the codes ``(N, P)`` are; any P, 0 included."""
    numbers = np.zeros(len(codes), dtype=np.int64)
    for level in range(codes.shape[1]):
        numbers = np.unique(numbers * 256 + codes[:, level], return_inverse=True)[1]
    return numbers


def _scores(residual: Floats, codebook: Floats) -> Floats:
    """Squared distances ``(n, M)`` of residuals ``(n, d)`` to codes, less the residuals' own squared lengths."""
    scores: Floats = np.square(codebook).sum(axis=1) - 2 * (residual @ codebook.T)
    return scores


def _residual(latents: Floats, codes: Codes, codebooks: Floats) -> Floats:
    """What the first ``len(codebooks)`` codes leave of the latents ``(n, d)``, subtracted level by level."""
    for level, codebook in enumerate(codebooks):
        latents = latents - codebook[codes[:, level]]
    return latents


def _nearest_free(residual: Floats, codebook: Floats, taken: Mask) -> Rows:
    """The nearest code ``(n,)`` that is not taken ``(n, M)``; every row must have one."""
    scores = _scores(residual, codebook)
    scores[taken] = np.inf
    nearest: Rows = scores.argmin(axis=1)
    return nearest


def _movers(greedy: Greedy, reserved: Codes) -> Rows:
    """Step 2: the items that must leave their greedy ID, in the order (distance to the last code, index)."""
    count = len(greedy.codes)
    ids = prefix_numbers(np.concatenate([greedy.codes, reserved]))
    order = np.lexsort((greedy.distance, ids[:count]))  # stable, so the index breaks ties
    keeps = np.ones(count, dtype=bool)
    keeps[1:] = np.diff(ids[order]) != 0
    keeps &= ~np.isin(ids[order], ids[count:])
    movers = np.sort(order[~keeps])
    return movers[np.argsort(greedy.distance[movers], kind="stable")]


def _move_last(result: Assignment, movers: Rows, reserved: Codes, latents: Floats, codebooks: Floats) -> None:
    """Step 3: settles movers on free last codes under their own prefix; changes ``result``."""
    everyone = np.concatenate([result.codes, reserved])  # a mover's greedy ID is its keeper's, so it counts as taken
    prefixes = prefix_numbers(everyone[:, :-1])
    for queue, group, taken in _contested(prefixes, movers, everyone[:, -1], codebooks.shape[1]):
        for turn in _rounds(group, taken):
            rows, prefix = queue[turn], group[turn]
            residual = _residual(latents[rows], result.codes[rows], codebooks[:-1])
            last = _nearest_free(residual, codebooks[-1], taken[prefix])
            taken[prefix, last] = True
            result.codes[rows, -1] = last
            result.outcome[rows] = MOVED_LAST


def _move_before(result: Assignment, movers: Rows, reserved: Codes, latents: Floats, codebooks: Floats) -> None:
    """Step 4: settles movers under another code of the level before; changes ``result``."""
    size = codebooks.shape[1]
    everyone = np.concatenate([result.codes, reserved])
    parents = prefix_numbers(everyone[:, :-2])
    leaves = everyone[:, -2].astype(np.int64) * size + everyone[:, -1]
    for queue, group, leaf_taken in _contested(parents, movers, leaves, size * size):
        taken = leaf_taken.reshape(-1, size, size)
        full: Mask = np.all(taken, axis=2)
        for turn in _rounds(group, leaf_taken):
            rows, parent = queue[turn], group[turn]
            residual = _residual(latents[rows], result.codes[rows], codebooks[:-2])
            before = _nearest_free(residual, codebooks[-2], full[parent])
            last = _nearest_free(residual - codebooks[-2][before], codebooks[-1], taken[parent, before])
            taken[parent, before, last] = True
            full[parent, before] = taken[parent, before].all(axis=1)
            result.codes[rows, -2], result.codes[rows, -1] = before, last
            result.outcome[rows] = MOVED_BEFORE


def _contested(keys: Rows, movers: Rows, leaves: NDArray[np.integer], size: int) -> Iterator[tuple[Rows, Rows, Mask]]:
    """Yields the groups (prefixes or parents) that movers stand in, as many at a time as memory allows.

    Args:
        keys: ``(N + R,)`` every item's group, numbered without gaps; reserved IDs behind the items.
        movers: item indices in the order in which they are taken.
        leaves: ``(N + R,)`` every item's place among its group's ``size`` leaves.
        size: leaves per group.

    Yields:
        The movers of these groups, group by group in their order; the group of each, numbered from 0; and which leaves
        ``(groups, size)`` are taken.
    """
    contested = np.unique(keys[movers])
    number = np.full(keys.max(initial=-1) + 1, -1, dtype=np.int64)
    number[contested] = np.arange(len(contested))
    group = number[keys]
    members = np.argsort(group, kind="stable")
    queue = movers[np.argsort(group[movers], kind="stable")]
    step = max(1, _TABLE_CELLS // size)
    for first in range(0, len(contested), step):
        ends = first, min(first + step, len(contested))
        inside = members[slice(*np.searchsorted(group[members], ends))]
        waiting = queue[slice(*np.searchsorted(group[queue], ends))]
        taken = np.zeros((ends[1] - first, size), dtype=bool)
        taken[group[inside] - first, leaves[inside]] = True
        yield waiting, group[waiting] - first, taken


def _rounds(group: Rows, taken: Mask) -> Iterator[Rows]:
    """Yields positions in a queue sorted by ``group``: the first of every group, then the second, ...

    Those who will find no free leaf, as the ones before them in their group take all, are left out.
    """
    rank = np.arange(len(group)) - np.searchsorted(group, group)
    fits = np.flatnonzero(rank < (~taken).sum(axis=1)[group])
    fits = fits[np.argsort(rank[fits], kind="stable")]
    rounds = np.searchsorted(rank[fits], np.arange(rank[fits].max(initial=-1) + 2))
    for first, end in pairwise(rounds.tolist()):
        for start in range(first, end, _CHUNK_ROWS):
            yield fits[start : min(start + _CHUNK_ROWS, end)]
