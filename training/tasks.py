"""The generator's training tasks (MACRec: next-item tasks and explicit alignment), for any number of modalities.

With text and image: seqrec and seqimage predict the next item in one modality; item2image, image2item, seqitem2image
and seqimage2item are the explicit alignment, each behind a prompt of its own.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from model.history_tokens import Position
from model.semantic_ids import IdSpace

Explicit = Literal["none", "items", "all"]
"""Which tasks of the explicit alignment are trained: none, those that read one item, or also those that read many."""


@dataclass(frozen=True)
class Task:
    """One task: the IDs of a history or of one item in; out the ID of the next item, or of that item, in some modality.

    Attributes:
        name: ``sequence:text->text`` or ``item:text->image``.
        source: index of the modality that is read; a history of whole items is read in all of them.
        targets: indices of the modalities that are written, each from the start; several read the same history.
        is_sequence: whether the input is a history, else the item itself.
        prompt: which learned prompt stands before the input, None for the next-item tasks.
    """

    name: str
    source: int
    targets: tuple[int, ...]
    is_sequence: bool
    prompt: int | None


def build_tasks(space: IdSpace, explicit: Explicit, position: Position = "code") -> list[Task]:
    """The next-item task of each modality and the ``explicit`` alignment tasks of each ordered pair.

    Where a position of the history is a whole item, all modalities' next items follow the same input: one task.
    """
    names = space.modalities
    if position == "item":
        tasks = [Task(f"sequence:{'+'.join(names)}", 0, tuple(range(len(names))), True, None)]
    else:
        tasks = [Task(f"sequence:{name}->{name}", index, (index,), True, None) for index, name in enumerate(names)]
    unprompted = len(tasks)
    kinds = {"none": (), "items": (False,), "all": (False, True)}[explicit]
    for source, target in permutations(range(len(names)), 2):
        for is_sequence in kinds:
            kind = "sequence" if is_sequence else "item"
            name = f"{kind}:{names[source]}->{names[target]}"
            tasks.append(Task(name, source, (target,), is_sequence, prompt=len(tasks) - unprompted))
    return tasks
