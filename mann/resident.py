"""The memory that this process holds."""

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path


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


def give_back_freed_memory() -> None:
    """Hand freed memory back to the system, where the C library can: what it kept would count as held."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
