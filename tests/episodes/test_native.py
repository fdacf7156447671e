"""Code in C++: compiled for this processor without trying it out, and told when there is no compiler."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._inductor import cpp_builder
from torch._inductor.exc import InvalidCxxCompiler

from episodes.native import has_compiler, library

TRIED = """
import subprocess
subprocess.check_call = lambda *args, **options: print("tried")
from torch._inductor.cpu_vec_isa import pick_vec_isa
from episodes.native import trusted_vectors
with trusted_vectors():
    print(pick_vec_isa().bit_width())
"""


def test_vectors_are_as_wide_as_the_processor_says_and_not_tried_out(cxx_compiler: None) -> None:
    widths = {"AVX512": "512", "AVX2": "256"}
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in widths:
        pytest.skip(f"says nothing of processors with {capability}")
    # In a process of its own: each finds out once.
    found = subprocess.run([sys.executable, "-c", TRIED], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [widths[capability]]


def test_a_library_is_what_its_file_says(cxx_compiler: None, tmp_path: Path) -> None:
    for number in (1, 2):
        source = tmp_path / f"{number}.cpp"
        source.write_text(f'extern "C" long more(long than) {{ return than + {number}; }}')
        assert library(source).more(ctypes.c_long(40)) == 40 + number


@pytest.mark.parametrize("has", [True, False])
def test_whether_there_is_a_compiler(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> str:
        if not has:
            raise InvalidCxxCompiler
        return "g++"

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", found)
    assert has_compiler() is has
