"""C++ code that is compiled on the machine where it runs.

A library is compiled once, kept in a folder of the cache, and found there by everything that it depends on: its text,
the compiler, the instructions of the processor, and the version of torch.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
import warnings
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Final

import torch

from data.cache import cache_folder

_COMPILERS: Final = ("g++", "clang++")

# The compiler may not change what a rounded sum is, so that a result does not depend on it; loops that are to run in
# vectors are written so.
_FLAGS: Final = (
    *("-std=c++20", "-O3", "-DNDEBUG", "-shared", "-fPIC", "-fopenmp", "-Wno-unknown-pragmas"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=off", "-fno-tree-loop-vectorize"),
)

# By what torch says of the processor: its vectors (ATen/cpu/vec) are as wide as the macro says.
_INSTRUCTIONS: Final = {
    "AVX2": ("-DCPU_CAPABILITY_AVX2", "-mavx2", "-mfma", "-mf16c"),
    "AVX512": ("-DCPU_CAPABILITY_AVX512", *(f"-mavx512{part}" for part in ("f", "dq", "vl", "bw")), "-mfma", "-mf16c"),
}


class CannotCompileError(Exception):
    """C++ code could not be compiled or loaded; the message says why, and what to do."""


def compiled_folder() -> Path:
    """Return the folder of compiled code: $TORCHINDUCTOR_CACHE_DIR, which torch uses too, or one in the cache."""
    return Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or cache_folder() / "compiled")


def has_compiler() -> bool:
    """Return whether there is a C++ compiler."""
    return _compiler() is not None


def library(*sources: Path) -> ctypes.CDLL:
    """Compile source files as one, joined in their order, and load the result.

    The code may include the headers of torch and of Python, and its OpenMP threads are torch's.

    Raises:
        CannotCompileError: There is no compiler, or it failed.
    """
    return prepare(*sources).result()


@cache
def prepare(*sources: Path) -> "Future[ctypes.CDLL]":
    """Begin to compile in the background what `library` will be asked for."""
    future: Future[ctypes.CDLL] = Future()

    def build() -> None:
        try:
            future.set_result(_load("".join(source.read_text() for source in sources)))
        except Exception as error:  # whatever it is, it belongs to whoever asks for the library
            future.set_exception(error)

    # Ends with the process, even while it waits for the compiler.
    Thread(target=build, name="compiler", daemon=True).start()
    return future


def _compiler() -> str | None:
    """Return the compiler: $CXX, or the first that is installed."""
    wanted = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [wanted] if wanted else _COMPILERS)), None)


def _load(source: str) -> ctypes.CDLL:
    """Return the library of a text, compiled unless it is in the cache."""
    compiler = _compiler()
    if compiler is None:
        raise CannotCompileError("no C++ compiler was found: install g++ or clang++")
    home = Path(torch.__file__).parent
    command = (
        *(compiler, *_FLAGS, *_INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ())),
        *(f"-I{folder}" for folder in (sysconfig.get_path("include"), home / "include")),
    )
    links = (f"-L{home / 'lib'}", "-ltorch", "-ltorch_cpu")
    version = subprocess.run([compiler, "-dumpversion"], capture_output=True, text=True, check=False).stdout
    known = (source, *command, version, torch.__version__, platform.machine())
    name = f"{hashlib.sha256(chr(0).join(map(str, known)).encode()).hexdigest()}.so"
    folder = compiled_folder()
    if (folder / name).exists():
        try:
            return ctypes.CDLL(str(folder / name))
        except OSError:  # damaged: compiled once more
            pass
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".compiling-") as temporary:
            _compile(source, command, links, Path(temporary) / name)
            # Several processes may compile it at once: each renames a whole file into place.
            os.replace(Path(temporary) / name, folder / name)
        return ctypes.CDLL(str(folder / name))
    except OSError as error:
        warnings.warn(f"compiled code is not kept in {folder}: {error}", stacklevel=2)
    with tempfile.TemporaryDirectory(prefix="mann-") as temporary:
        _compile(source, command, links, Path(temporary) / name)
        return ctypes.CDLL(str(Path(temporary) / name))  # stays loaded when the file is gone


def _compile(source: str, command: tuple[str, ...], links: tuple[str, ...], out: Path) -> None:
    """Compile a text to a shared library."""
    text = out.with_suffix(".cpp")
    text.write_text(source)
    done = subprocess.run([*command, str(text), "-o", str(out), *links], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["?"]
        raise CannotCompileError(f"{command[0]} failed: {lines[0].strip()}")
