from itertools import pairwise

from model.semantic_ids import IdSpace
from training.tasks import Task, build_tasks


def space(*names: str) -> IdSpace:
    return IdSpace(names, levels=2, codes=8)


def test_two_modalities_make_the_six_tasks_of_the_paper() -> None:
    assert build_tasks(space("text", "image"), explicit="all") == [
        Task("sequence:text->text", 0, (0,), is_sequence=True, prompt=None),
        Task("sequence:image->image", 1, (1,), is_sequence=True, prompt=None),
        Task("item:text->image", 0, (1,), is_sequence=False, prompt=0),
        Task("sequence:text->image", 0, (1,), is_sequence=True, prompt=1),
        Task("item:image->text", 1, (0,), is_sequence=False, prompt=2),
        Task("sequence:image->text", 1, (0,), is_sequence=True, prompt=3),
    ]


def test_without_explicit_alignment_only_the_next_item_tasks_are_left() -> None:
    tasks = build_tasks(space("text", "image"), explicit="none")
    assert [(task.source, task.targets, task.is_sequence, task.prompt) for task in tasks] == [
        (0, (0,), True, None),
        (1, (1,), True, None),
    ]


def test_the_item_tasks_alone_can_be_had() -> None:
    tasks = build_tasks(space("text", "image"), explicit="items")
    assert [(task.name, task.prompt) for task in tasks[2:]] == [("item:text->image", 0), ("item:image->text", 1)]


def test_one_modality_has_nothing_to_align() -> None:
    (task,) = build_tasks(space("text"), explicit="all")
    assert task == Task("sequence:text->text", 0, (0,), is_sequence=True, prompt=None)


def test_histories_of_whole_items_are_read_once_for_all_modalities() -> None:
    assert build_tasks(space("text", "image"), explicit="items", position="item") == [
        Task("sequence:text+image", 0, (0, 1), is_sequence=True, prompt=None),
        Task("item:text->image", 0, (1,), is_sequence=False, prompt=0),
        Task("item:image->text", 1, (0,), is_sequence=False, prompt=1),
    ]


def test_three_modalities_align_every_ordered_pair_behind_prompts_of_their_own() -> None:
    tasks = build_tasks(space("text", "image", "audio"), explicit="all")
    aligned = [task for task in tasks if task.prompt is not None]
    assert len(tasks) == 3 + 2 * 6
    assert {(task.source, task.targets, task.is_sequence) for task in aligned} == {
        (source, (target,), is_sequence)
        for source in range(3)
        for target in range(3)
        if source != target
        for is_sequence in (True, False)
    }
    prompts = [task.prompt for task in aligned if task.prompt is not None]
    assert prompts[0] == 0
    assert all(after == before + 1 for before, after in pairwise(prompts))
    assert len({task.name for task in tasks}) == len(tasks)
