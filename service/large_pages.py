"""Large pages for the memory that a loaded model computes with.

A processor knows the places of some thousand pages by heart and has to look up the rest, in a virtual machine twice.
Weights are read from end to end for every step of every search, and in pages of 4 KiB they are more than that. Linux
makes pages of 2 MiB of them when it is asked to (madvise(2), MADV_COLLAPSE, since 6.1).
"""

import ctypes
import logging
import re
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

LARGE = 2 << 20
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25
FULL = 0.9
"""The share of an area that must be in memory: an area that is not, like a thread's stack, would grow."""

AREAS = Path("/proc/self/smaps")
ALLOWED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_AREA = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) rw\S* \S+ \S+ 0 *(?:\[heap\]|\[anon:.*\])?\n(?:\w+: .*\n)*?Rss: +(\d+) kB$", re.MULTILINE
)
"""Ends and kilobytes in memory of an area that can be written and is no file's."""


def use_large_pages() -> int:
    """Asks for large pages in place of what this process keeps in memory and what is no file's.

    It takes a tenth of a second for a hundred MiB, once for each model that is loaded.

    Returns:
        The bytes of the areas that it got them for; 0 where the system has no such pages or was told not to use them.
    """
    try:
        if "[never]" in ALLOWED.read_text():
            return 0
        areas = list(full_areas(AREAS.read_text()))
    except OSError:
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    backed = 0
    for start, size in areas:
        # The advice also holds for kernels that cannot do it at once, and for what the area is filled with later.
        advised = madvise(start, size, MADV_HUGEPAGE) == 0
        if advised and madvise(start, size, MADV_COLLAPSE) == 0:
            backed += size
    log.debug("large pages", extra={"areas": len(areas), "bytes": backed})
    return backed


def full_areas(smaps: str) -> Iterator[tuple[int, int]]:
    """Start and size of the whole large pages in areas that are nearly all in memory and are no file's.

    Args:
        smaps: as proc(5) describes ``/proc/PID/smaps``.
    """
    for found in _AREA.finditer(smaps):
        first, end = (int(found[group], 16) for group in (1, 2))
        start, stop = -(-first // LARGE) * LARGE, end // LARGE * LARGE
        if stop > start and int(found[3]) * 1024 >= FULL * (end - first):
            yield start, stop - start
