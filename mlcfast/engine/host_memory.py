"""What the process does with memory that it has freed: it keeps it."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of malloc.h
CHOICES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for the next allocation instead of giving it back; False where it does not.

    By itself it gives tensors of more than some megabytes back as soon as they are freed, and a step pays for each page
    of its next activations and gradients again: on the CPU a quarter of its time and more (docs/notes.md). The process
    holds on to the most that it once needed, and each further thread to what it needed. Worker processes that are
    forked after it do the same.
    Nothing changes where the environment has one of `CHOICES`, which are the user's, or where the C library is another.
    """
    if any(name in os.environ for name in CHOICES):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    return bool(mallopt(TRIM_THRESHOLD, -1) and mallopt(MMAP_MAX, 0))
