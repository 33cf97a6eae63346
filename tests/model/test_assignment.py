"""The nearest-free-code rule against a naive reference that follows its docstring word by word."""

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model import assignment
from model.assignment import (
    KEPT,
    MOVED_BEFORE,
    MOVED_LAST,
    SHARED,
    Codes,
    Floats,
    assign,
    collision_rate,
    free_leaves,
    place,
)

Code = tuple[int, ...]


class Reference:
    """The rule in plain Python. Whole numbers keep every distance exact, so ties are ties on both sides."""

    def __init__(self, latents: Floats, codebooks: Floats, reserved: Codes) -> None:
        self.latents = [[int(x) for x in row] for row in latents]
        self.books = [[[int(x) for x in code] for code in book] for book in codebooks]
        self.taken = {tuple(int(c) for c in row) for row in reserved}
        self.ids: list[Code] = [self.greedy(row) for row in self.latents]
        self.outcome = [KEPT] * len(self.ids)

    def by_distance(self, residual: list[int], level: int) -> list[int]:
        return sorted(range(len(self.books[level])), key=lambda code: (self.squared(residual, level, code), code))

    def squared(self, residual: list[int], level: int, code: int) -> int:
        return sum((r - c) ** 2 for r, c in zip(residual, self.books[level][code], strict=True))

    def residual(self, row: list[int], codes: Code) -> list[int]:
        for level, code in enumerate(codes):
            row = [r - c for r, c in zip(row, self.books[level][code], strict=True)]
        return row

    def greedy(self, row: list[int]) -> Code:
        codes: Code = ()
        for level in range(len(self.books)):
            codes = (*codes, self.by_distance(self.residual(row, codes), level)[0])
        return codes

    def settle(self, item: int, candidate: Code, outcome: int) -> bool:
        if candidate in self.taken:
            return False
        self.taken.add(candidate)
        self.ids[item], self.outcome[item] = candidate, outcome
        return True

    def run(self) -> None:
        distance = [sum(x * x for x in self.residual(row, self.ids[i])) for i, row in enumerate(self.latents)]
        order = sorted(range(len(self.ids)), key=lambda item: (distance[item], item))
        movers = [item for item in order if not self.settle(item, self.ids[item], KEPT)]
        left = [item for item in movers if not self.move_last(item, self.ids[item][:-1], MOVED_LAST)]
        for item in left:
            if not self.move_before(item):
                self.outcome[item] = SHARED

    def move_last(self, item: int, prefix: Code, outcome: int) -> bool:
        nearest = self.by_distance(self.residual(self.latents[item], prefix), len(prefix))
        return any(self.settle(item, (*prefix, code), outcome) for code in nearest)

    def move_before(self, item: int) -> bool:
        if len(self.books) < 2:
            return False
        parent = self.ids[item][:-2]
        nearest = self.by_distance(self.residual(self.latents[item], parent), len(parent))
        return any(self.move_last(item, (*parent, code), MOVED_BEFORE) for code in nearest)


@st.composite
def crowded_spaces(draw: st.DrawFn) -> tuple[Floats, Floats, Codes]:
    """Few codes, many items on whole-number coordinates: full prefixes, full parents, exact ties, identical items."""
    levels, codes, width = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 2))
    items, reserved = draw(st.integers(0, 40)), draw(st.integers(0, 6))
    spread = draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    latents = rng.integers(-spread, spread + 1, (items, width)).astype(np.float32)
    codebooks = rng.integers(-4, 5, (levels, codes, width)).astype(np.float32)
    return latents, codebooks, rng.integers(0, codes, (reserved, levels)).astype(np.uint8)


@settings(max_examples=300, deadline=None)
@given(crowded_spaces(), st.sampled_from([1, 3, 1 << 24]))
def test_the_vectorised_rule_equals_the_naive_one(space: tuple[Floats, Floats, Codes], cells: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "_TABLE_CELLS", cells)
        patch.setattr(assignment, "_CHUNK_ROWS", 5)
        result = assign(*space)
    reference = Reference(*space)
    reference.run()
    assert [tuple(row) for row in result.codes.tolist()] == reference.ids
    assert result.outcome.tolist() == reference.outcome


@settings(max_examples=200, deadline=None)
@given(crowded_spaces())
def test_only_a_full_parent_makes_items_share_a_leaf(space: tuple[Floats, Floats, Codes]) -> None:
    latents, codebooks, reserved = space
    result = assign(latents, codebooks, reserved)
    own = Counter(tuple(row) for row in result.codes[result.outcome != SHARED].tolist())
    assert not own or own.most_common(1)[0][1] == 1
    assert not own.keys() & {tuple(row) for row in reserved.tolist()}
    leaves = defaultdict(set)
    for row in [*result.codes.tolist(), *reserved.tolist()]:
        leaves[tuple(row[:-2])].add(tuple(row[-2:]))
    room = codebooks.shape[1] ** min(2, len(codebooks))
    for row in result.codes[result.outcome == SHARED].tolist():
        assert len(leaves[tuple(row[:-2])]) == room


@settings(max_examples=200, deadline=None)
@given(crowded_spaces())
def test_an_item_that_joins_gets_the_id_that_the_whole_catalogs_rule_gives_it(
    space: tuple[Floats, Floats, Codes],
) -> None:
    latents, codebooks, reserved = space
    for latent in latents[:5]:
        expected = assign(latent[None], codebooks, reserved)
        placed = place(latent, codebooks, _lookup(reserved, codebooks.shape[1]))
        assert placed.codes.tolist() == expected.codes[0].tolist()
        assert placed.outcome == expected.outcome[0]


@settings(max_examples=100, deadline=None)
@given(crowded_spaces())
def test_the_next_free_leaf_is_the_rules_answer_when_the_ones_before_are_taken(
    space: tuple[Floats, Floats, Codes],
) -> None:
    latents, codebooks, reserved = space
    for latent in latents[:2]:
        taken = reserved
        for leaf in list(free_leaves(latent, codebooks, _lookup(reserved, codebooks.shape[1]))):
            expected = assign(latent[None], codebooks, taken)
            assert (leaf.codes.tolist(), leaf.outcome) == (expected.codes[0].tolist(), expected.outcome[0])
            taken = np.concatenate([taken, leaf.codes[None]])
        assert assign(latent[None], codebooks, taken).outcome[0] == SHARED


def _lookup(reserved: Codes, size: int) -> Callable[[tuple[int, ...]], NDArray[np.bool_]]:
    def taken_under(prefix: tuple[int, ...]) -> NDArray[np.bool_]:
        taken = np.zeros(size, dtype=bool)
        taken[reserved[(reserved[:, :-1] == prefix).all(axis=1), -1]] = True
        return taken

    return taken_under


def test_a_worked_example() -> None:
    """One dimension, two levels of codes 0, 10 and 0, 1: room for two items under each first code."""
    codebooks = np.array([[[0], [10]], [[0], [1]]], dtype=np.float32)
    latents = np.array([[0.2], [0.1], [0.4], [0.3], [10.0]], dtype=np.float32)
    result = assign(latents, codebooks)
    # 0.1 keeps (0, 0); 0.2 takes (0, 1); then prefix 0 is full, 0.3 finds (1, 1) free, and 0.4 finds nothing
    assert result.codes.tolist() == [[0, 1], [0, 0], [0, 0], [1, 1], [1, 0]]
    assert result.outcome.tolist() == [MOVED_LAST, KEPT, SHARED, MOVED_BEFORE, KEPT]


def test_a_catalog_of_identical_items_fills_a_parent_and_loses_nobody() -> None:
    rng = np.random.default_rng(0)
    codebooks = rng.standard_normal((4, 8, 3)).astype(np.float32)
    result = assign(np.ones((70, 3), dtype=np.float32), codebooks)
    assert np.bincount(result.outcome, minlength=4).tolist() == [1, 7, 56, 6]
    assert len(np.unique(result.codes, axis=0)) == 64


def test_collision_rate_counts_the_items_beyond_the_first_of_each_id() -> None:
    codes = np.array([[1, 2], [1, 2], [1, 2], [2, 1]], dtype=np.uint8)
    assert collision_rate(codes) == 0.5
    assert collision_rate(codes[:0]) == 0
