"""Evaluate a run: python scripts/evaluate.py RUN [options]. Accuracy by instance, or errors of a task's answers."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from commands import one_line_errors, parse, pick_device, progress_bar
from rich.console import Console

from data import load
from mann.config import TaskConfig
from mann.evaluation import TEST, evaluate
from mann.reporting import instance_table, task_table, write_report
from mann.runs import Run, describe_environment, write_atomically
from mann.tasks import evaluate_task

DESCRIPTION = """Measure how often a trained network is right at the 1st, 2nd, ... time it sees a class.

The classes are the split's test classes, none of which was trained on; memory is blank at the start of
every episode, weights are fixed. Prints a table, with the paper's figures beside where there are any, and
writes evaluation.json, instances.csv, instances.png, curves.csv and training.png into the run's folder.

Of an algorithmic task it measures what answers cost and how many bits are wrong, at the sizes of the training and
beyond them, and writes evaluation.json.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    episodes: int = TEST.episodes
    """Test episodes (of a task: sequences for each of the sizes)."""
    part: Literal["test", "validation"] = "test"
    """Classes to evaluate on; validation is for choosing between settings."""
    root: Path | None = None
    """Where the data lie, if not where they were in training."""
    device: str = "auto"
    """Where to compute: auto, cpu or cuda."""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="evaluate.py", description=DESCRIPTION)
    run = Run(options.run)
    config = run.config()
    device = pick_device(options.device)
    with progress_bar() as bar:
        task = bar.add_task("episodes", total=options.episodes)

        def report(done: int) -> None:
            bar.update(task, completed=done)

        if isinstance(config, TaskConfig):
            evaluation = evaluate_task(run, device, options.episodes, report)
        else:
            classes, split = load(config.dataset, options.root or config.root, config.size, str(run.split_path))
            evaluation = evaluate(run, classes.to(device), split, options.part, options.episodes, report)
    write_atomically(
        run.folder / "evaluation.json",
        json.dumps({**evaluation, "training": run.history(), "environment": describe_environment(device)}, indent=2)
        + "\n",
    )
    if isinstance(config, TaskConfig):
        Console().print(task_table(evaluation))
        print(run.folder / "evaluation.json")
        return 0
    Console().print(instance_table(evaluation))
    for path in write_report(run.folder, evaluation, run.metrics()):
        print(path)
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
