"""Training examples of small random histories, in a form that a naive construction gives, too."""

from hypothesis import strategies as st

from tests.toys import SPACE, interactions_of
from training.examples import Examples, build_examples
from training.split import Split
from training.tasks import build_tasks

ITEMS = 10
TASKS = build_tasks(SPACE, explicit="all")

Triple = tuple[int, tuple[int, ...], int, int]  # task, history, target, user

sequences_of_users = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=9), min_size=1, max_size=6)


def triples(examples: Examples) -> list[Triple]:
    """The examples one by one."""
    columns = (examples.task, examples.start, examples.length, examples.target, examples.user)
    return [
        (task, tuple(examples.items[start : start + length].tolist()), target, user)
        for task, start, length, target, user in zip(*(column.tolist() for column in columns), strict=True)
    ]


def build(sequences: list[list[int]], max_history: int = 4) -> Examples:
    """All tasks' examples of one user per sequence."""
    return build_examples(TASKS, Split(interactions_of(sequences)), ITEMS, max_history)
