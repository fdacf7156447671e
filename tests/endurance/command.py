"""The command that runs the endurance checks."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
import tyro

from data import InputError
from mann.cli import evaluate, train
from mann.cli.command_line import parse
from mann.cli.console import progress_bar
from mann.cli.failures import one_line_errors, print_error
from mann.reporting.pictures import write_picture
from mann.runs import describe_environment
from mann.support.files import write_text
from tests.endurance import OnProgress
from tests.endurance.fuzz import endure_fuzzing
from tests.endurance.kills import BrokenPromiseError, endure_kills
from tests.endurance.load import endure_evaluations, endure_training, plot_load
from tests.endurance.seeds import endure_seeds

DESCRIPTION = """Run an endurance check. CHECK is one of

  kills         kill trainings at random moments, also while a checkpoint is written (--count times), resume, compare
  seeds         train small networks at twice the default learning rate (--count seeds of each of two trainings)
  training      train on --count episodes, and watch the resident set size
  evaluations   evaluate --count times in one process, and watch the resident set size and the open files
  fuzz          pass --count contents to the readers of files (needs atheris: pip install 'mann[fuzz]')

The results are written to CHECK.json in the folder --out, with a picture CHECK.png of the long work. The exit status is
1 if a promise is broken. docs/reliability.md lists the promises and the latest results.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    check: tyro.conf.Positional[str]
    """Which check."""
    count: int | None = None
    """Number of kills, seeds, episodes, evaluations or contents (none: 200, 100, 1,000,000, 1000, 1,100,000)."""
    out: Path = Path("runs/endurance")
    """Folder for the results."""


class Check(NamedTuple):
    """A check.

    Attributes:
        run: Receives the count, a folder to work in and the progress callback; returns the results.
        usual: The default count.
        trials: Progress for a count of one.
        broken: Returns how the results break a promise; "" if they do not.
    """

    run: Callable[[int, Path, OnProgress], dict[str, Any]]
    usual: int
    trials: int = 1
    broken: Callable[[dict[str, Any]], str] = lambda found: ""


def run_training(arguments: list[str], ready: Callable[[], None]) -> int:
    """Run the training command; returns its exit status."""
    try:
        with one_line_errors():
            ready()
            return train.main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


def not_finite(found: dict[str, Any]) -> str:
    """Return a message with the seeds that were not finite."""
    failed = [f"{name} {seed}" for name, subject in found["subjects"].items() for seed in subject["not_finite"]]
    return f"not finite: {', '.join(failed)}" if failed else ""


def grown(found: dict[str, Any]) -> str:
    """Return a message about growth: of the open files, or of the resident set size by more than 2%."""
    growth, memory = found["growth"], found["held"][-1][1]
    if growth["open_files"] > 0:
        return f"the number of open files has grown by {growth['open_files']:g}"
    if growth["memory_mib"] > 0.02 * memory:
        return f"the resident set size has grown by {growth['memory_mib']:.1f} MiB"
    return ""


def crashed(found: dict[str, Any]) -> str:
    """Return a message with the parsers that raised an undeclared exception."""
    failed = [name for name, parser in found["parsers"].items() if parser["crash"]]
    return f"crashed: {', '.join(failed)}" if failed else ""


CHECKS: Final[Mapping[str, Check]] = {
    "kills": Check(lambda *given: endure_kills(run_training, *given), 200),
    "seeds": Check(endure_seeds, 100, 2, not_finite),
    "training": Check(endure_training, 1_000_000, broken=grown),
    "fuzz": Check(endure_fuzzing, 1_100_000, broken=crashed),
    "evaluations": Check(lambda *given: endure_evaluations(evaluate.main, *given), 1000, broken=grown),
}


def main(arguments: list[str], checks: Mapping[str, Check] = CHECKS) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="endure.py", description=DESCRIPTION)
    if options.check not in checks:
        raise InputError(f"no check is named {options.check!r}: use one of {', '.join(checks)}")
    check = checks[options.check]
    count = check.usual if options.count is None else options.count
    if count < 1:
        raise InputError(f"`count` {count}: at least 1 is needed")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, progress_bar() as bar:
        task = bar.add_task(options.check, total=count * check.trials)
        try:
            found = check.run(count, Path(folder), lambda done: bar.update(task, completed=done))
        except BrokenPromiseError as error:
            print_error(error)
            return 1
    path = options.out / f"{options.check}.json"
    environment = describe_environment(torch.device("cpu"))
    write_text(path, json.dumps({"count": count, **found, "environment": environment}) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "held"}, indent=2))
    print(path)
    if "held" in found:
        write_picture(plot_load(found), path.with_suffix(".png"))
        print(path.with_suffix(".png"))
    if message := check.broken(found):
        print_error(message)
        return 1
    return 0
