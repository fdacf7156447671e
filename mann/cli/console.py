"""Tables, progress bars, devices and signals of the commands."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType

import torch
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from data import InputError


def pick_device(name: str) -> torch.device:
    """Return the device named auto, cpu or cuda; auto is a GPU if there is one.

    Raises:
        InputError: there is no such device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"no device is named {name!r}: use auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("`device=cuda`: torch finds no GPU; use `device=cpu`")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def progress_bar() -> Progress:
    """Return a progress bar on standard error, which is off where that is no terminal."""
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


def print_whole(table: Table) -> None:
    """Print a table at the width that it needs, also where the output is narrower."""
    console = Console()
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    Console(width=max(console.width, needed)).print(table)


@contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """Discard output within the block, if `silent`; errors that leave the block are not affected."""
    if not silent:
        yield
        return
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        yield


@contextmanager
def caught_signals() -> Iterator[Callable[[], int]]:
    """Record SIGINT and SIGTERM instead of dying; yields a function that returns the number recorded, or 0."""
    recorded = [0]

    def record(number: int, _frame: FrameType | None) -> None:
        recorded[0] = number

    before = {number: signal.signal(number, record) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: recorded[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
