"""The generator's training tasks (MACRec: next-item tasks and explicit alignment), for any number of modalities.

With text and image: seqrec and seqimage predict the next item in one modality; item2image, image2item, seqitem2image
and seqimage2item are the explicit alignment, each behind a prompt of its own.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from model.semantic_ids import IdSpace

Explicit = Literal["none", "items", "all"]
"""Which tasks of the explicit alignment are trained: none, those that read one item, or also those that read many."""


@dataclass(frozen=True)
class Task:
    """One task: the IDs of a history (or of one item) in one modality in, one ID in another or the same modality out.

    Attributes:
        name: ``sequence:text->text`` or ``item:text->image``, as it stands in metrics.
        source: index of the modality that is read.
        target: index of the modality that is written.
        is_sequence: whether the input is a history, else the item itself.
        prompt: which learned prompt stands before the input, None for the next-item tasks.
    """

    name: str
    source: int
    target: int
    is_sequence: bool
    prompt: int | None


def build_tasks(space: IdSpace, explicit: Explicit) -> list[Task]:
    """The next-item task of each modality and the ``explicit`` alignment tasks of each ordered pair."""
    names = space.modalities
    tasks = [Task(f"sequence:{name}->{name}", index, index, True, None) for index, name in enumerate(names)]
    kinds = {"none": (), "items": (False,), "all": (False, True)}[explicit]
    for source, target in permutations(range(len(names)), 2):
        for is_sequence in kinds:
            kind = "sequence" if is_sequence else "item"
            name = f"{kind}:{names[source]}->{names[target]}"
            tasks.append(Task(name, source, target, is_sequence, prompt=len(tasks) - len(names)))
    return tasks
