from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.generator_shape import GeneratorShape
from model.semantic_ids import PAD, PROMPT_LENGTH, IdSpace
from tests.toy_examples import ITEMS, TASKS, build, sequences_of_users, triples
from tests.toys import SPACE, interactions_of, random_codes
from training.batches import BatchBuilder, batches_of, padding_share
from training.examples import build_examples, build_windows
from training.split import Split
from training.tasks import Task, build_tasks

CPU = torch.device("cpu")


def builder(space: IdSpace = SPACE, tasks: list[Task] = TASKS) -> BatchBuilder:
    return BatchBuilder(space, tasks, torch.from_numpy(random_codes(ITEMS, space)), CPU)


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
        (written,) = task.targets
        targets.append([[SPACE.tokens(written, codes[written, target]).tolist()]])
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


CAUSAL = [GeneratorShape(causal=True), GeneratorShape(position="item", causal=True)]


def prompt_of(task: Task, each: int) -> list[int]:
    """The tokens of a task's prompt, padded to whole items."""
    if task.prompt is None:
        return []
    first = SPACE.first_prompt_token + task.prompt * PROMPT_LENGTH
    return [*range(first, first + PROMPT_LENGTH), *[PAD] * (-PROMPT_LENGTH % each)]


@pytest.mark.parametrize("shape", CAUSAL)
@given(sequences_of_users, st.integers(1, 6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_causal_batch_has_a_target_for_every_item_of_a_window(
    shape: GeneratorShape, sequences: list[list[int]], max_history: int, random: Random
) -> None:
    tasks = build_tasks(SPACE, "all" if shape.position == "code" else "items", shape.position)
    codes = random_codes(ITEMS)
    make = BatchBuilder(SPACE, tasks, torch.from_numpy(codes), CPU, shape)
    split = Split(interactions_of(sequences))
    examples = build_windows(tasks, split, ITEMS, max_history, torch.Generator().manual_seed(0))
    chosen = examples.select(torch.tensor([random.randrange(len(examples)) for _ in range(6)]))
    each = make.item_length
    rows, targets = [], []
    for index, start, length in zip(*(c.tolist() for c in (chosen.task, chosen.start, chosen.length)), strict=True):
        task, items = tasks[index], chosen.items[start : start + length + 1].tolist()
        absent = [PAD] * SPACE.levels
        nothing = [absent] * (1 if shape.position == "code" else 2)
        row, target = prompt_of(task, each), [nothing] * (len(prompt_of(task, each)) // each)
        for place in range(length):
            read = [task.source] if shape.position == "code" or not task.is_sequence else range(2)
            own = {part: SPACE.tokens(part, codes[part, items[place]]).tolist() for part in range(2)}
            parts = [task.source] if shape.position == "code" else range(2)
            row = [*row, *(token for part in parts for token in (own[part] if part in read else absent))]
            following = items[place + 1] if task.is_sequence else items[place]
            written = [SPACE.tokens(part, codes[part, following]).tolist() for part in range(2)]
            columns = task.targets if shape.position == "code" else range(2)
            target = [*target, [written[part] if part in task.targets else absent for part in columns]]
        rows.append(row)
        targets.append(target)
    batch, longest = make.gather(chosen), max(map(len, rows))
    assert batch.tokens.tolist() == [row + [PAD] * (longest - len(row)) for row in rows]
    places = longest // each
    assert batch.targets.tolist() == [target + [nothing] * (places - len(target)) for target in targets]


def test_a_causal_plan_has_so_many_targets_a_batch() -> None:
    split = Split(interactions_of(realistic()))
    tasks = build_tasks(SPACE, explicit="none", position="item")
    make = BatchBuilder(SPACE, tasks, torch.from_numpy(random_codes(ITEMS)), CPU, CAUSAL[1])
    examples = build_windows(tasks, split, ITEMS, 20, torch.Generator().manual_seed(0))
    plan = make.plan(examples, 100, 16, torch.Generator().manual_seed(1))
    assert sorted(torch.cat(plan).tolist()) == list(range(len(examples)))
    targets = [2 * int(examples.length[batch].sum()) for batch in plan]
    assert max(targets) <= 100 + 2 * 20
    assert sum(targets) / len(targets) > 90


def test_history_dropout_leaves_out_its_share_and_never_the_first_item_or_a_target() -> None:
    examples = build(realistic(), max_history=8)
    make = BatchBuilder(SPACE, TASKS, torch.from_numpy(random_codes(ITEMS)), CPU, history_dropout=0.3)
    whole = builder().gather(examples)
    torch.manual_seed(0)
    thinned = make.gather(examples)
    assert torch.equal(thinned.targets, whole.targets)
    kept = thinned.tokens != PAD
    assert torch.equal(thinned.tokens[kept], whole.tokens[kept])
    prompted = (whole.tokens >= SPACE.first_prompt_token).sum(dim=1)
    shares = []
    for row, size in enumerate(prompted.tolist()):
        present = kept[row, size : size + SPACE.levels * int(examples.length[row])].view(-1, SPACE.levels)
        assert bool(present[0].all())
        assert torch.equal(present.all(dim=1), present.any(dim=1)), "an item goes with all its codes"
        shares += present[1:].all(dim=1).tolist()
    assert sum(shares) / len(shares) == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("names", [("text",), ("text", "image", "audio")])
def test_other_numbers_of_modalities_gather_too(names: tuple[str, ...]) -> None:
    space = IdSpace(names, levels=2, codes=8)
    tasks = build_tasks(space, explicit="all")
    examples = build_examples(tasks, Split(interactions_of([[0, 1, 2, 3, 4]])), ITEMS, 4)
    batch = builder(space, tasks).gather(examples)
    assert batch.tokens.shape[0] == batch.targets.shape[0] == len(examples)
    assert batch.targets.shape[1:] == (1, 1, space.levels)
    assert (len(names) > 1) == bool((batch.tokens >= space.first_prompt_token).any())
