"""What the commands share: typed options, one-line errors, progress bars, devices, signals."""

import contextlib
import io
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
        raise InputError(_without_frame(said.getvalue())) from error


def _without_frame(message: str) -> str:
    """Return the words of an error message that is drawn as a box."""
    return " ".join(re.sub(r"[\u2500-\u257f]", " ", message).split())


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what the user did wrong into one line on standard error and exit status 2."""
    try:
        yield
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


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
