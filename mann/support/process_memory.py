"""The resident set size of this process, its peak, and what the C library keeps of freed memory."""

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path

# Parameters of mallopt (malloc.h): blocks that are mapped one by one, and freed memory that is kept.
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1


def resident_mib() -> float:
    """Return the resident set size of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def forget_peak_memory() -> None:
    """Reset the peak resident set size, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib() -> float:
    """Return the peak resident set size of this process, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def keep_freed_memory() -> None:
    """Keep freed memory for the next allocation, where the C library can (glibc).

    By default, blocks of 32 MiB and more return to the system when they are freed, and the next ones are mapped and
    zeroed page by page: that was half of the time of convolutional encoders (docs/log.md).
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, -1)


def give_back_freed_memory() -> None:
    """Return freed memory to the system, where the C library can: otherwise it counts as resident."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
