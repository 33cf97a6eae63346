from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toy_examples import ITEMS, TASKS, Triple, build, sequences_of_users, triples
from tests.toys import interactions_of
from training.examples import NO_USER, build_examples
from training.split import Split
from training.tasks import Task


def naive(sequences: list[list[int]], tasks: list[Task], max_history: int) -> list[Triple]:
    """Leave-one-out and all prefixes, one by one."""
    found: list[Triple] = []
    for index, task in enumerate(tasks):
        if not task.is_sequence:
            found += [(index, (item,), item, NO_USER) for item in range(ITEMS)]
            continue
        for user, sequence in enumerate(sequences):
            trained = sequence[:-2] if len(sequence) >= 3 else sequence
            for position in range(1, len(trained)):
                history = tuple(trained[:position][-max_history:])
                found.append((index, history, trained[position], user))
    return found


@given(sequences_of_users, st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_examples_are_all_prefixes_of_training_events_and_nothing_held_out(
    sequences: list[list[int]], max_history: int
) -> None:
    assert Counter(triples(build(sequences, max_history))) == Counter(naive(sequences, TASKS, max_history))


def test_several_events_after_a_history_are_its_targets_as_far_as_training_goes() -> None:
    sequences = interactions_of([[0, 1, 2, 3, 4, 5, 6], [7, 8, 9, 10]])
    examples = build_examples(TASKS[:1], Split(sequences), ITEMS, 10, target_window=2)
    assert Counter((history, target) for _, history, target, _ in triples(examples)) == Counter(
        [
            *(((0,), 1), ((0,), 2)),
            *(((0, 1), 2), ((0, 1), 3)),
            *(((0, 1, 2), 3), ((0, 1, 2), 4)),
            ((0, 1, 2, 3), 4),
            ((7,), 8),
        ]
    )


def test_held_out_items_are_not_even_among_the_flat_events() -> None:
    examples = build([[0, 1, 2, 8, 9], [3, 4]])
    assert examples.items.tolist() == [0, 1, 2, 3, 4, *range(ITEMS)]


@given(sequences_of_users, st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_draw_takes_so_many_of_each_user_and_task_and_all_item_examples(
    sequences: list[list[int]], count: int, seed: int
) -> None:
    examples = build(sequences)
    chosen = examples.draw_per_user(count, torch.Generator().manual_seed(seed))
    assert len(set(chosen.tolist())) == len(chosen)
    all_groups = Counter(zip(examples.task.tolist(), examples.user.tolist(), strict=True))
    drawn = examples.select(chosen)
    assert Counter(zip(drawn.task.tolist(), drawn.user.tolist(), strict=True)) == Counter(
        {group: size if group[1] == NO_USER else min(count, size) for group, size in all_groups.items()}
    )


def test_other_seeds_draw_other_targets_evenly() -> None:
    examples = build([[0, 1, 2, 3, 4, 5, 6, 7]])
    users = [examples.draw_per_user(1, torch.Generator().manual_seed(seed)) for seed in range(400)]
    counts = Counter(row for chosen in users for row in chosen.tolist() if examples.user[row] == 0)
    assert len(counts) == 4 * 5
    assert min(counts.values()) > 400 / 5 / 2
