"""What the commands share: typed options, one-line errors, progress bars, devices, signals."""

import contextlib
import io
import itertools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from data import InputError

Options = TypeVar("Options")


def parse(options: Callable[..., Options], arguments: list[str], **settings: Any) -> Options:
    """Read typed options from a command line with tyro, which explains them on --help.

    Raises:
        InputError: the arguments do not fit.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(options, args=arguments, **settings)
    except SystemExit as error:
        if not error.code:  # --help
            raise
        raise InputError(_core(said.getvalue())) from error


def _core(message: str) -> str:
    """Return what counts in one of tyro's boxes: what is wrong, and which options may have been meant.

    A box holds a title in its upper edge; then what is wrong, hints, and where to find help, lines between them.
    """
    _, *lines = [line.strip(" \u2502") for line in message.strip().splitlines()]
    edges = [re.fullmatch(r"[\u2500-\u257f-]+", line) is not None for line in lines]
    parts = itertools.groupby(zip(edges, lines, strict=True), key=lambda pair: pair[0])
    wrong, *hints = [[line for _, line in part] for edge, part in parts if not edge] or [message.split()]
    options = [line.split()[0] for hint in hints if "Perhaps you meant:" in hint for line in hint if line[:2] == "--"]
    advice = f"did you mean {' or '.join(options)}?" if options else "--help lists all options"
    return f"{' '.join(wrong).rstrip('.')}; {advice}"


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End a command as commands end, without a traceback.

    What the user did wrong, or a disk or memory that is full: one line on standard error and exit status 2. Ctrl-C and
    SIGTERM: what runs is ended properly, workers too, and the exit status is 128 and the signal's number.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except (InputError, OSError) as error:
        print(f"error: {_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        print("error: out of memory: lower what takes it, such as --batch, --slots or --hidden-size", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interruption:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + (interruption.args or (signal.SIGINT,))[0])


def _out_of_memory(error: Exception) -> bool:
    """Return whether there was too little memory, which torch says in words alone where it is that of a CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _line(message: str) -> str:
    """Return a message as one line that does nothing to a terminal, whatever a file has put into it."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in " ".join(message.split())
    )


def _interrupt(number: int, _frame: Any) -> None:
    """Unwind as on Ctrl-C."""
    raise KeyboardInterrupt(number)


def pick_device(name: str) -> torch.device:
    """Return the device called auto, cpu or cuda; auto takes a GPU if there is one.

    Raises:
        InputError: there is no such device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"no device is named {name!r}: use auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("--device cuda: torch finds no GPU here; use --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def progress_bar() -> Progress:
    """Return a progress bar on standard error, which shows nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextlib.contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """Say nothing, if it is so; errors that end the block are not held back."""
    if not silent:
        yield
        return
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        yield


@contextlib.contextmanager
def caught_signals() -> Iterator[Callable[[], int]]:
    """Note SIGINT and SIGTERM instead of dying; yields a function that tells the number noted, or 0."""
    noted = [0]

    def note(number: int, _frame: Any) -> None:
        noted[0] = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: noted[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
