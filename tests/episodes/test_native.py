"""C++ code: compiled once for this processor, kept, and told in one line when it cannot be compiled."""

import ctypes
import os
from pathlib import Path

import pytest
import torch

from episodes import native
from episodes.native import CannotCompileError, has_compiler, library

VECTORS = """
#include <ATen/cpu/vec/vec.h>
extern "C" long bits() { return 8 * sizeof(float) * at::vec::Vectorized<float>::size(); }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep compiled code in a folder of the test."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    return tmp_path / "compiled"


def source(folder: Path, text: str, name: str = "source.cpp") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_vectors_are_as_wide_as_the_processor_says(cxx_compiler: None, tmp_path: Path) -> None:
    widths = {"AVX512": 512, "AVX2": 256}
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in widths:
        pytest.skip(f"says nothing of processors with {capability}")
    assert library(source(tmp_path, VECTORS)).bits() == widths[capability]


def test_a_library_is_what_its_file_says(cxx_compiler: None, tmp_path: Path) -> None:
    for number in (1, 2):
        file = source(tmp_path, f'extern "C" long more(long than) {{ return than + {number}; }}', f"{number}.cpp")
        assert library(file).more(ctypes.c_long(40)) == 40 + number


def test_a_library_is_compiled_once_and_anew_if_its_file_is_damaged(
    cxx_compiler: None, tmp_path: Path, folder: Path
) -> None:
    file = source(tmp_path, 'extern "C" long one() { return 1; }')
    native.prepare.cache_clear()
    library(file)
    (kept,) = folder.glob("*.so")
    written = kept.stat().st_mtime_ns
    native.prepare.cache_clear()
    assert library(file).one() == 1 and kept.stat().st_mtime_ns == written
    kept.unlink()  # not overwritten: this process has it loaded
    kept.write_bytes(b"damaged")
    native.prepare.cache_clear()
    assert library(file).one() == 1
    assert [path.name for path in folder.iterdir()] == [kept.name]  # nothing is left of compiling


def test_where_it_cannot_be_kept_it_is_compiled_with_a_warning(
    cxx_compiler: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(source(tmp_path, "a file", "compiled")))
    with pytest.warns(UserWarning, match="compiled code is not kept in"):
        assert library(source(tmp_path, 'extern "C" long two() { return 2; }')).two() == 2


def test_what_does_not_compile_is_an_error_of_one_line(cxx_compiler: None, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CannotCompileError, match=r"failed: .*error: .nothing. was not declared") as raised:
        library(source(tmp_path, 'extern "C" long three() { return nothing; }'))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("named", [True, False])
def test_without_a_compiler_the_error_says_what_to_install(
    named: bool, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler") if named else monkeypatch.delenv("CXX", raising=False)
    if not named:
        monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_compiler()
    with pytest.raises(CannotCompileError, match=r"install g\+\+ or clang\+\+"):
        library(source(tmp_path, 'extern "C" long four() { return 4; }'))


def test_a_compiler_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = source(tmp_path, "#!/bin/sh", "own")
    own.chmod(0o755)
    monkeypatch.setenv("CXX", str(own))
    monkeypatch.setenv("PATH", os.defpath)
    assert has_compiler()
