"""Settings of glibc's malloc for tensors.

Each entry point calls `tune_allocator` once, before it starts threads and sessions.
"""

import ctypes
import os
from collections.abc import Mapping

MIB = 2**20
TRIM_THRESHOLD = "MALLOC_TRIM_THRESHOLD_"
FREE_HEAP_BYTES = 128 * MIB  # that stay with the process between runs, at least
MOST_FREE_HEAP_BYTES = 512 * MIB
MEMORY_PER_FREE_HEAP = 4  # bytes of memory that there must be for a byte of free heap beyond that
HEAP_PER_RUN = 1.25  # tensors of a run lie with gaps between them

# By environment variable: the number of mallopt's parameter and its value. A variable that is set
# in the environment has priority.
PARAMETERS: Mapping[str, tuple[int, int]] = {
    # one heap for all threads, so that a worker reuses the freed tensors of another
    "MALLOC_ARENA_MAX": (-8, 1),
    # tensors below this size come from the heap; for larger ones each run faults in fresh pages
    "MALLOC_MMAP_THRESHOLD_": (-3, 64 * MIB),
    # bytes of free heap that stay with the process between runs
    TRIM_THRESHOLD: (-1, FREE_HEAP_BYTES),
}


def tune_allocator(environ: Mapping[str, str] = os.environ) -> bool:
    """Keep the memory of the largest run for the next one, once for all sessions.

    Measured on u2netp INT8: 86 ms a run instead of 119, 239 MB of a server with three models
    instead of 205, and a peak of 350 MB instead of 560 with two clients at once.

    Returns:
        True if glibc took every setting; False with another C library, where nothing changes.
    """
    settings = [pair for name, pair in PARAMETERS.items() if name not in environ]
    return _set(settings)


def free_heap_bytes(run_bytes: int, allowed_bytes: int | None) -> int:
    """Return how much free heap is worth keeping between runs.

    A run that frees more than the heap keeps gives all of it back, and the next one faults it in
    again: u2netp in float takes 307 ms so, and 229 with its 325 MB kept. Where memory is scarce
    that stays so, because decoders and other processes have no use of this heap.

    Args:
        run_bytes: of the largest run.
        allowed_bytes: the memory that the process may take; None: all of the machine's.
    """
    memory_bytes = allowed_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed_bytes = min(int(HEAP_PER_RUN * run_bytes), MOST_FREE_HEAP_BYTES)
    if needed_bytes * MEMORY_PER_FREE_HEAP > memory_bytes:
        return FREE_HEAP_BYTES
    return max(FREE_HEAP_BYTES, needed_bytes)


def keep_free_heap(size_bytes: int, environ: Mapping[str, str] = os.environ) -> bool:
    """Let so many bytes of free heap stay with the process between runs.

    Returns:
        True if glibc took it; False where the environment sets it, or with another C library.
    """
    number, _ = PARAMETERS[TRIM_THRESHOLD]
    return TRIM_THRESHOLD not in environ and _set([(number, size_bytes)])


def _set(settings: list[tuple[int, int]]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    results = [mallopt(parameter, value) for parameter, value in settings]
    return all(result == 1 for result in results)


def release_free_memory() -> bool:
    """Return the free memory of glibc's heap to the system, which the settings above would keep.

    For the moment after all models were loaded and run once, or after many large uploads; not
    between requests.

    Returns:
        True if memory was returned; False if there was none, or with another C library.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):
        return False
