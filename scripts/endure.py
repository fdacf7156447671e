"""Put the program through much at once: python scripts/endure.py CHECK [options]."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import evaluate
import torch
import train
import tyro
from commands import one_line_errors, parse, progress_bar

from data import InputError
from mann.reporting.pictures import write_picture
from mann.runs.run import describe_environment
from mann.support.files import write_text
from tests.endurance.fuzz import endure_fuzzing
from tests.endurance.kills import BrokenPromiseError, endure_kills
from tests.endurance.load import endure_evaluations, endure_training, plot_held
from tests.endurance.seeds import endure_seeds

DESCRIPTION = """Put the program through what it has to last. CHECK is one of

  kills         kill trainings at random moments, checkpoint writing included (--count times), resume them, compare
  seeds         train small networks at twice the default learning rate (--count seeds of each of two trainings)
  training      train on --count episodes, and watch the memory
  evaluations   evaluate --count times in a process, and watch memory and open files
  fuzz          give --count contents to what reads files (needs atheris: pip install 'mann[fuzz]')

What was found goes to CHECK.json in the folder --out, with CHECK.png where there is something to see. The exit status
is 1 if a promise is broken. docs/reliability.md says what is promised, and what came out.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    check: tyro.conf.Positional[str]
    """Which check."""
    count: int | None = None
    """How many kills, seeds, episodes, evaluations or contents (none: 200, 100, 1,000,000, 1000, 1,100,000)."""
    out: Path = Path("runs/endurance")
    """Folder for what was found."""


Report = Callable[[int], None]


class Check(NamedTuple):
    """A check.

    Attributes:
        run: From count, folder to work in and report to what was found.
        usual: How many, if nothing is said.
        trials: What is reported as done in the end, for a count of one.
        broken: Says what is wrong with what was found; empty if nothing is.
    """

    run: Callable[[int, Path, Report], dict[str, Any]]
    usual: int
    trials: int = 1
    broken: Callable[[dict[str, Any]], str] = lambda found: ""


def trained(arguments: list[str], ready: Callable[[], None]) -> int:
    """Run the training command; returns its exit status."""
    try:
        with one_line_errors():
            ready()
            return train.main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


def not_finite(found: dict[str, Any]) -> str:
    """Say which seeds were not finite."""
    failed = [f"{name} {seed}" for name, subject in found["subjects"].items() for seed in subject["not_finite"]]
    return f"not finite: {', '.join(failed)}" if failed else ""


def grown(found: dict[str, Any]) -> str:
    """Say what has grown: a file more, or 2% of the memory."""
    growth, memory = found["growth"], found["held"][-1][1]
    if growth["open_files"] > 0:
        return f"{growth['open_files']:g} files more are open"
    return f"{growth['memory_mib']:.1f} MiB more are held" if growth["memory_mib"] > 0.02 * memory else ""


def crashed(found: dict[str, Any]) -> str:
    """Say which parsers raised what they had not declared."""
    failed = [name for name, parser in found["parsers"].items() if parser["crash"]]
    return f"crashed: {', '.join(failed)}" if failed else ""


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "kills": Check(lambda *given: endure_kills(trained, *given), 200),
        "seeds": Check(endure_seeds, 100, 2, not_finite),
        "training": Check(endure_training, 1_000_000, broken=grown),
        "fuzz": Check(endure_fuzzing, 1_100_000, broken=crashed),
        "evaluations": Check(lambda *given: endure_evaluations(evaluate.main, *given), 1000, broken=grown),
    }
)


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="endure.py", description=DESCRIPTION)
    if options.check not in CHECKS:
        raise InputError(f"no check is named {options.check!r}: use one of {', '.join(CHECKS)}")
    check = CHECKS[options.check]
    count = check.usual if options.count is None else options.count
    if count < 1:
        raise InputError(f"--count {count}: at least 1 is needed")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, progress_bar() as bar:
        task = bar.add_task(options.check, total=count * check.trials)
        try:
            found = check.run(count, Path(place), lambda done: bar.update(task, completed=done))
        except BrokenPromiseError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    path = options.out / f"{options.check}.json"
    environment = describe_environment(torch.device("cpu"))
    write_text(path, json.dumps({"count": count, **found, "environment": environment}) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "held"}, indent=2))
    print(path)
    if "held" in found:
        write_picture(plot_held(found), path.with_suffix(".png"))
        print(path.with_suffix(".png"))
    if wrong := check.broken(found):
        print(f"error: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
