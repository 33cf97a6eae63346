"""Claims and upserts as the live log's tests write them."""

from model.item_inputs import ItemInputs
from model.live_log import Claim, Leaves, LiveLog, Standing, Upsert, Written

SPACE = "space"


def claim(item: str, *free: list[bytes], shared: bytes = b"\0\0", space: str = SPACE) -> Claim:
    """A claim that offers ``free`` leaves in each modality."""
    return Claim(item, space, [Leaves(iter(leaves), shared) for leaves in free or ([b"\1\1"],)])


def put(log: LiveLog, item: str, *free: list[bytes], title: str = "", standing: Standing | None = None) -> Written:
    """Upserts one item with a title and nothing else."""
    inputs = ItemInputs(title=title or f"Title of {item}")
    [written] = log.upsert([Upsert(claim(item, *free), inputs, standing)], floor=0)
    return written
