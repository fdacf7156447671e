"""C++ code that is compiled on the machine where it runs.

A library is compiled once, kept in a folder of the cache, and found there by all that it depends on: its text, the
compiler, the instructions of the processor, and the version of torch.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Final, TypeVar

import torch

from data.cache import cache_folder

_TORCH: Final = Path(torch.__file__).parent
_COMPILERS: Final = ("g++", "clang++")

# The compiler may not change how a sum is rounded; loops that are to run in vectors are written so. The macros are for
# headers of torch that stand alone.
_FLAGS: Final = (
    *("-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-fopenmp", "-Wno-unknown-pragmas"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffp-contract=off", "-fno-tree-loop-vectorize"),
    *("-DTORCH_INDUCTOR_CPP_WRAPPER", "-DSTANDALONE_TORCH_HEADER", "-DC10_USING_CUSTOM_GENERATED_MACROS"),
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
    return prepare(text_of(*sources)).result()


@cache  # a library is asked for at each step of a training
def text_of(*sources: Path) -> str:
    """Return the text of source files, joined in their order."""
    return "".join(source.read_text() for source in sources)


@cache
def prepare(text: str, header: str | None = None) -> "Future[ctypes.CDLL]":
    """Begin to compile a text in the background, and return what will be the library; see `library`.

    header: What the text includes first, of torch's headers; see `precompile`.
    """
    return _in_background(lambda: _library(text, header))


@cache
def precompile(header: str) -> "Future[Path | None]":
    """Begin to compile a header in the background that several texts include: reading it takes seconds each time.

    Returns the folder to search for it; None with a compiler that does not find such headers by itself.
    """
    return _in_background(lambda: _precompiled(header))


Result = TypeVar("Result")


def _in_background(function: Callable[[], Result]) -> "Future[Result]":
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # whatever it is, it belongs to whoever asks for the result
            future.set_exception(error)

    # Ends with the process, even while it waits for the compiler.
    Thread(target=run, name="compiler", daemon=True).start()
    return future


def _compiler() -> str | None:
    """Return the compiler: $CXX, or the first that is installed."""
    wanted = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [wanted] if wanted else _COMPILERS)), None)


def _command() -> list[str]:
    """Return the command that compiles for this processor, without what it compiles."""
    compiler = _compiler()
    if compiler is None:
        raise CannotCompileError("no C++ compiler was found: install g++ or clang++")
    instructions = _INSTRUCTIONS.get(torch.backends.cpu.get_cpu_capability(), ())
    return [compiler, *_FLAGS, *instructions, f"-I{sysconfig.get_path('include')}", f"-I{_TORCH / 'include'}"]


def _library(text: str, header: str | None) -> ctypes.CDLL:
    """Return the library of a text, compiled unless it is in the cache."""
    command = _command()
    name = f"{_digest(text, command)}.so"
    try:
        if (compiled_folder() / name).exists():
            return ctypes.CDLL(str(compiled_folder() / name))
    except OSError:  # damaged: compiled once more
        pass
    if header and (folder := precompile(header).result()):
        command.insert(1, f"-I{folder}")  # before the folders that have the header itself

    def build(folder: Path) -> None:
        (folder / "text.cpp").write_text(text)
        links = (f"-L{_TORCH / 'lib'}", "-ltorch", "-ltorch_cpu", "-ltorch_python")
        _run([*command, "-shared", str(folder / "text.cpp"), "-o", str(folder / name), *links])

    return ctypes.CDLL(str(_kept(name, build)))


def _precompiled(header: str) -> Path | None:
    """Return a folder with a precompiled header; see `precompile`."""
    command = _command()
    if "clang" in Path(command[0]).name:
        return None
    name = f"{_digest(header, command)}.headers"

    def build(folder: Path) -> None:
        out = folder / name / f"{header}.gch"
        out.parent.mkdir(parents=True)
        _run([*command, "-x", "c++-header", str(_TORCH / "include" / header), "-o", str(out)])

    found = compiled_folder() / name
    return found if found.exists() else _kept(name, build)


def _digest(text: str, command: list[str]) -> str:
    """Return a digest (64 hexadecimal digits) of all that a result of the compiler depends on."""
    known = (text, *command, _version(command[0]), torch.__version__, platform.machine())
    return hashlib.sha256("\0".join(known).encode()).hexdigest()


@cache
def _version(compiler: str) -> str:
    """Return the version of a compiler."""
    return _output([compiler, "-dumpfullversion", "-dumpversion"]).stdout


def _kept(name: str, build: Callable[[Path], None]) -> Path:
    """Return a file or folder of the cache after it was built, in a temporary folder."""
    folder = compiled_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=folder, prefix=".compiling-")
    except OSError as error:
        warnings.warn(f"compiled code is not kept in {folder}: {error}", stacklevel=2)
        own = Path(tempfile.mkdtemp(prefix="mann-"))
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        build(own)
        return own / name
    with temporary as place:
        build(Path(place))
        # Several processes may build it at once: each renames a whole result into place.
        with suppress(OSError):  # of a folder that another process has renamed before
            os.replace(Path(place) / name, folder / name)
    return folder / name


def _run(command: list[str]) -> None:
    """Run the compiler."""
    done = _output(command)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["?"]
        raise CannotCompileError(f"{command[0]} failed: {lines[0].strip()}")


def _output(command: list[str]) -> "subprocess.CompletedProcess[str]":
    # With a copy of the environment: another thread may be changing the process's own.
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
