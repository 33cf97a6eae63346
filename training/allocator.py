"""How the C library's allocator treats what a training step frees."""

import ctypes

# <malloc.h> of glibc
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 512 * 2**20
_LARGEST_ON_THE_HEAP = 32 * 2**20


def keep_freed_memory() -> bool:
    """Keeps up to 512 MiB of freed memory in the process; whether the C library can do that (glibc can).

    A step frees all that it computed. Given back to the kernel, it comes back to the next step as thousands of empty
    pages, one fault each.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(_MMAP_THRESHOLD, _LARGEST_ON_THE_HEAP)) and bool(set_option(_TRIM_THRESHOLD, _KEPT))
