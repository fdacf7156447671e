"""Code in C++ that is compiled on the machine where it runs."""

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch


def has_compiler() -> bool:
    """Return whether there is a compiler for C++."""
    # Where nvcc is installed without a GPU, torch would warn that the two do not fit: of no use to the reader.
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
    """Compile for the vectors that the processor says it has.

    Torch would try them out in each process anew, for 5 to 15 seconds. What it has for numbers of 8 and 16 bits, whose
    trial cannot be passed over, is taken for missing.
    """
    from torch._inductor import config
    from torch._inductor.cpu_vec_isa import VecISA

    with config.patch({"cpp.vec_isa_ok": True}), patch.object(VecISA, "check_build", return_value=False):
        yield


@cache
def library(*sources: Path) -> ctypes.CDLL:
    """Compile files, one after the other in one, or take what was compiled before from the compiler's cache.

    Its threads are torch's, and it may use torch's headers. There has to be a compiler.
    """
    from torch._inductor.codecache import CppCodeCache

    class WithTorch(CppCodeCache):
        cache = {}
        cpp_compile_command_flags = {"include_pytorch": True, "shared": True}

    with trusted_vectors():
        loaded: ctypes.CDLL = WithTorch.load("".join(source.read_text() for source in sources))  # pyright: ignore
    return loaded
