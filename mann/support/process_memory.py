"""The memory that this process holds."""

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path

# Numbers of malloc.h: how many blocks may be asked of the system one by one, and how much freed memory is kept.
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1


def resident_mib() -> float:
    """Return the memory that this process holds, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def forget_peak_memory() -> None:
    """Let the peak start anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib() -> float:
    """Return the largest memory that this process has held, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def keep_freed_memory() -> None:
    """Keep what this process frees for what it takes next, where the C library can (glibc).

    Blocks of 32 MiB and more are handed back to the system when they are freed, whatever else is set, and come back a
    page at a time, zeroed: that was half of the time that convolutional encoders took (docs/log.md).
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, -1)


def give_back_freed_memory() -> None:
    """Hand freed memory back to the system, where the C library can: what it kept would count as held."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
