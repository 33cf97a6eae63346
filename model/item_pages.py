"""The catalog's items in the order of their ids, a page at a time: what came and went meanwhile shifts nothing."""

from bisect import bisect_right
from collections.abc import Iterator
from heapq import merge
from itertools import islice

from model.live_catalog import LiveCatalog


def page(catalog: LiveCatalog, after: str | None, limit: int) -> list[int]:
    """The first ``limit`` items whose ids come after a given one, by their bytes; deleted ones are left out."""
    behind = b"" if after is None else after.encode(errors="surrogatepass")
    names = merge(_base(catalog, behind), _added(catalog, behind))
    return [item for _, item in islice((each for each in names if not catalog.deleted[each[1]]), limit)]


def _base(catalog: LiveCatalog, behind: bytes) -> Iterator[tuple[bytes, int]]:
    ids = catalog.base.item_ids
    for place in range(bisect_right(ids.order, behind, key=lambda row: ids.raw(int(row))), len(ids)):
        row = int(ids.order[place])
        yield ids.raw(row), row


def _added(catalog: LiveCatalog, behind: bytes) -> Iterator[tuple[bytes, int]]:
    names = catalog.added_names
    for place in range(bisect_right(names, behind, key=lambda each: each[0]), len(names)):
        yield names[place]
