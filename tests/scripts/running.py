"""Running the commands: in this process, as a person would see them."""

import csv
import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mann.cli.failures import one_line_errors
from mann.runs import Run

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = (
    "--size 8 --rotations --classes 2 --labels one-hot --presentations 2 --counting exact --hidden-size 8 --slots 6 "
    "--word-size 4 --batch 2 --episodes 16 --seed 0"
)
"""Options of a training of 8 steps with a memory."""
OF_MEMORY = ("--slots", "--word-size")
"""Those among them that a model without memory does not have."""
SMALL = ("--hidden-size", 8, "--slots", 6, "--word-size", 4, "--episodes", 64, "--batch", 8)
"""Options of a training of 8 steps on a task."""


class Ended(NamedTuple):
    """How a command ended: its exit status, standard output and standard error."""

    status: int
    output: str
    errors: str


Command = Callable[..., Ended]
Refused = Callable[..., str]


def run_command(name: str, *arguments: object) -> Ended:
    """Run a command, such as run_command("train", "strokes", "--episodes", 16)."""
    output, errors = io.StringIO(), io.StringIO()
    words = [str(argument) for argument in arguments]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.delenv("FORCE_COLOR", raising=False)  # rich would take it for a terminal
        patch.setattr("sys.argv", [f"scripts/{name}.py", *words])
        try:
            with one_line_errors():
                status = import_module(f"mann.cli.{name}").main(words)
        except SystemExit as ended:
            status = ended.code or 0
    assert isinstance(status, int)
    assert "`" not in output.getvalue() + errors.getvalue()  # parameters are named as options
    return Ended(status, output.getvalue(), errors.getvalue())


def without(arguments: list[object], *names: str) -> list[object]:
    """Return arguments without some options, each of which has one value."""
    places = {place for name in names for place in (arguments.index(name), arguments.index(name) + 1)}
    return [argument for place, argument in enumerate(arguments) if place not in places]


def copied(source: Path, target: Path) -> Path:
    """Copy a run; returns the folder of the copy."""
    shutil.copytree(source, target)
    return target


def metrics(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of a run without the seconds."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in Run(run).metrics()]


def weights(run: Path) -> dict[str, bytes]:
    """Return the weights of the last checkpoint of a run."""
    checkpoint = Run(run).last_checkpoint()
    assert checkpoint is not None
    return {name: value.numpy().tobytes() for name, value in checkpoint.weights.items()}


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))
