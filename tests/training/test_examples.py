from collections import Counter
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.semantic_ids import PAD, PROMPT_LENGTH, IdSpace
from tests.toys import SPACE, interactions_of, random_codes
from training.examples import NO_USER, BatchBuilder, Examples, batches_of, build_examples, padding_share
from training.split import Split
from training.tasks import Task, build_tasks

ITEMS = 10
CPU = torch.device("cpu")
TASKS = build_tasks(SPACE, explicit="all")
Triple = tuple[int, tuple[int, ...], int, int]  # task, history, target, user

sequences_of_users = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=9), min_size=1, max_size=6)


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


def triples(examples: Examples) -> list[Triple]:
    columns = (examples.task, examples.start, examples.length, examples.target, examples.user)
    return [
        (task, tuple(examples.items[start : start + length].tolist()), target, user)
        for task, start, length, target, user in zip(*(column.tolist() for column in columns), strict=True)
    ]


def build(sequences: list[list[int]], max_history: int = 4) -> Examples:
    return build_examples(TASKS, Split(interactions_of(sequences)), ITEMS, max_history)


def builder(space: IdSpace = SPACE, tasks: list[Task] = TASKS) -> BatchBuilder:
    return BatchBuilder(space, tasks, torch.from_numpy(random_codes(ITEMS, space)), CPU)


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


@given(sequences_of_users, st.integers(1, 10), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_gathered_tokens_equal_a_naive_construction(
    sequences: list[list[int]], max_history: int, random: Random
) -> None:
    examples, make = build(sequences, max_history), builder()
    codes = random_codes(ITEMS)
    chosen = [random.randrange(len(examples)) for _ in range(7)]
    rows, targets, aligned = [], [], set()
    for index, history, target, _ in [triples(examples)[row] for row in chosen]:
        task = TASKS[index]
        tokens = [token for item in history for token in SPACE.tokens(task.source, codes[task.source, item]).tolist()]
        if task.prompt is not None:
            first = SPACE.first_prompt_token + task.prompt * PROMPT_LENGTH
            tokens = [*range(first, first + PROMPT_LENGTH), *tokens]
        rows.append(tokens)
        targets.append(SPACE.tokens(task.target, codes[task.target, target]).tolist())
        aligned |= set() if task.is_sequence else {target}
    batch = make.gather(examples.select(torch.tensor(chosen)))
    longest = max(map(len, rows))
    assert batch.tokens.tolist() == [row + [PAD] * (longest - len(row)) for row in rows]
    assert batch.targets.tolist() == targets
    assert batch.aligned_items.tolist() == sorted(aligned)
    assert int(batch.tokens.max()) < SPACE.vocabulary(prompted_tasks=4)


def test_padding_share_counts_padding() -> None:
    assert padding_share(torch.tensor([[3, 4, PAD, PAD], [5, 6, 7, 8]])).item() == 0.25


def realistic(users: int = 300) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, ITEMS, min(60, 5 + int(rng.geometric(0.12)))).tolist() for _ in range(users)]


def test_a_plan_is_a_permutation_with_little_padding() -> None:
    examples, make = build(realistic(), max_history=20), builder()
    plan = make.plan(examples, 64, 16, torch.Generator().manual_seed(1))
    assert sorted(torch.cat(plan).tolist()) == list(range(len(examples)))
    assert all(len(batch) <= 64 for batch in plan)
    assert len(plan) == -(-len(examples) // 64)
    batches = list(batches_of(make, examples, plan))
    padded = sum(int((batch.tokens == PAD).sum()) for batch in batches)
    assert padded / sum(batch.tokens.numel() for batch in batches) < 0.1


def test_a_plan_mixes_tasks_and_lengths_and_follows_its_seed() -> None:
    examples, make = build(realistic(), max_history=20), builder()
    plans = [make.plan(examples, 64, 16, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert all(torch.equal(a, b) for a, b in zip(plans[0], plans[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(plans[0], plans[2], strict=True))
    lengths = [examples.length[batch].float().mean().item() for batch in plans[0]]
    assert lengths != sorted(lengths)
    tasks_per_batch = [len(set(examples.task[batch].tolist())) for batch in plans[0]]
    assert sum(tasks_per_batch) / len(plans[0]) > 2


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


@pytest.mark.parametrize("names", [("text",), ("text", "image", "audio")])
def test_other_numbers_of_modalities_gather_too(names: tuple[str, ...]) -> None:
    space = IdSpace(names, levels=2, codes=8)
    tasks = build_tasks(space, explicit="all")
    examples = build_examples(tasks, Split(interactions_of([[0, 1, 2, 3, 4]])), ITEMS, 4)
    batch = builder(space, tasks).gather(examples)
    assert batch.tokens.shape[0] == batch.targets.shape[0] == len(examples)
    assert batch.targets.shape[1] == space.levels
    assert (len(names) > 1) == bool((batch.tokens >= space.first_prompt_token).any())
