"""The resident set size of a process: freed memory is reused without the system."""

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import mmap
import resource
import torch
from mann.support.process_memory import give_back_freed_memory, keep_freed_memory, resident_mib

def taken():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(80, 2**18)  # 80 MiB
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * mmap.PAGESIZE / 2**20

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    keep_freed_memory()
# glibc before 2.37 may keep up to 7 small pieces between blocks apart, so that a block does not fit where one was.
before = sum(taken() for _ in range(10))
given, held = sum(taken() for _ in range(8)), resident_mib()
give_back_freed_memory()
print(given, before + given, held - resident_mib())
"""


def megabytes(argument: str) -> list[float]:
    """Return the MiB that the system provides when 80 are allocated and freed 8 times, and in all; those given back."""
    found = subprocess.run([sys.executable, "-c", SCRIPT, argument], capture_output=True, text=True, check=True)
    return [float(word) for word in found.stdout.split()]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs a C library with mallopt, such as glibc")
def test_freed_memory_is_reused_without_the_system_and_can_still_be_given_back() -> None:
    given, in_all, back = megabytes("keep")
    assert given < 100 and 60 < back < in_all + 20
    given, _, back = megabytes("leave")
    assert given > 600 and back < 20
