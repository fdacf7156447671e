"""C++ code that is compiled on the machine where it runs."""

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch


def has_compiler() -> bool:
    """Return whether there is a C++ compiler."""
    # Where nvcc is installed without a GPU, torch warns that the two do not match, which does not matter here.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        cpp_builder.get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


@contextmanager
def trusted_vectors() -> Iterator[None]:
    """Compile for the vector instructions that the processor reports, without test programs.

    Torch compiles and runs such programs anew in each process, which takes 5 to 15 seconds. Those for numbers of 8 and
    16 bits can only be skipped by letting these vector instructions count as missing.
    """
    from torch._inductor import config
    from torch._inductor.cpu_vec_isa import VecISA

    with config.patch({"cpp.vec_isa_ok": True}), patch.object(VecISA, "check_build", return_value=False):
        yield


@cache
def library(*sources: Path) -> ctypes.CDLL:
    """Compile source files as one, joined in their order, and load the result.

    A result is kept in Inductor's cache on disk, and found there by the text of the sources. The code may include
    torch's headers, and its OpenMP threads are torch's. There has to be a C++ compiler, see `has_compiler`.
    """
    from torch._inductor.codecache import CppCodeCache

    class WithTorch(CppCodeCache):
        cache = {}  # not that of `CppCodeCache`, whose libraries are compiled with other flags
        cpp_compile_command_flags = {"include_pytorch": True, "shared": True}

    with trusted_vectors():
        loaded: ctypes.CDLL = WithTorch.load("".join(source.read_text() for source in sources))  # pyright: ignore
    return loaded
