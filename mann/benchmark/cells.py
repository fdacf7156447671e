"""Running many trainings in parallel: each once, on one machine or several, going on after whatever stopped them.

A cell is a training and what it came to. Its folder is that of a run, with `cell.json` beside once it is done: what has
one is not run again, and what was stopped goes on from its last checkpoint.
"""

import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch
from pydantic import BaseModel, ConfigDict

from data import InputError, parse_json
from mann.problems.opening import open_problem
from mann.runs.run import Run, describe_environment, what_is_wrong
from mann.settings.schema import AnyConfig, config_json
from mann.support.files import write_text
from mann.support.process_memory import forget_peak_memory, peak_memory_mib
from mann.training.loop import Pace, fit

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Goal:
    """When a task counts as learned: a figure of the validation, and the side of `bound` it has to be on.

    Attributes:
        figure: Its name in the lines of metrics.
        bound: The goal.
        higher: Whether it is reached from below.
        name: The figure as people read it.
    """

    figure: str
    bound: float
    higher: bool
    name: str

    def reached(self, value: float) -> bool:
        """Whether a figure is good enough."""
        return value >= self.bound if self.higher else value <= self.bound


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        folder: Of its run.
        config: Its settings.
        goal: When it counts as successful.
        validate: Steps between two looks at the validation, a multiple of 5 (or less than 5).
    """

    folder: Path
    config: AnyConfig
    goal: Goal
    validate: int

    @property
    def result(self) -> Path:
        """Where the result goes."""
        return self.folder / "cell.json"

    def done(self) -> bool:
        """Tell whether it is done.

        Raises:
            InputError: the folder holds a cell with other settings.
        """
        run = Run(self.folder)
        if run.exists():
            run.refuse_other(self.config)
        return self.result.exists()


class Result(BaseModel):
    """What `cell.json` holds: see `summary`, and what the cell was."""

    model_config = ConfigDict(strict=True, extra="forbid")
    folder: str
    settings: dict[str, Any]
    parameters: int
    peak_memory_mib: float
    episodes_to_goal: int | None
    success: bool
    score: float
    milliseconds_a_step: float | None
    seconds: float
    environment: dict[str, Any]


def read_result(path: Path) -> dict[str, Any]:
    """Read the result of a cell.

    Raises:
        InputError: it is damaged.
    """
    return result_from_json(path.read_bytes(), str(path))


def result_from_json(text: bytes, source: str) -> dict[str, Any]:
    """Read what `run_cell` wrote; `source` says in errors where it was.

    Raises:
        InputError: it is damaged.
    """
    try:
        Result.model_validate_json(text)
        return parse_json(text)
    except ValueError as error:
        raise InputError(
            f"{source} is damaged ({what_is_wrong(error)}): delete it, and the cell is run again"
        ) from error


def run_cell(cell: Cell, threads: int) -> dict[str, Any]:
    """Train a cell, or go on with it; returns and writes its result."""
    if cell.done():
        return read_result(cell.result)
    torch.set_num_threads(threads)
    forget_peak_memory()  # of the cell before
    run = Run(cell.folder)
    problem = open_problem(cell.config, run, _CPU)
    # Lines between the validations tell the time of a step.
    pace = Pace(log=max(1, cell.validate // 5), validate=cell.validate)
    fit(problem, cell.config, run, pace)
    result = {
        "folder": cell.folder.name,
        "settings": json.loads(config_json(cell.config)),
        "parameters": sum(parameter.numel() for parameter in problem.model.parameters()),
        "peak_memory_mib": peak_memory_mib(),
        **summary(run.metrics(), cell.goal),
        "environment": describe_environment(_CPU),
    }
    write_text(cell.result, json.dumps(result, indent=2) + "\n")
    return result


def summary(metrics: Sequence[dict[str, Any]], goal: Goal) -> dict[str, Any]:
    """Return what a training came to, from its lines of metrics.

    episodes_to_goal: episodes trained on when a validation first reached the goal, None if none did; success: whether
    the last one did; score: the figure of the last one; milliseconds_a_step: median over the lines, so that compiling
    and validating do not count; seconds: the whole training.
    """
    looks = [line for line in metrics if "validation" in line]
    reached = [line["episodes"] for line in looks if goal.reached(line["validation"][goal.figure])]
    last = looks[-1]["validation"][goal.figure]
    plain = [
        1000 * (line["seconds"] - before["seconds"]) / (line["step"] - before["step"])
        for before, line in zip(metrics, metrics[1:], strict=False)
        if "validation" not in line
    ]
    return {
        "episodes_to_goal": reached[0] if reached else None,
        "success": goal.reached(last),
        "score": last,
        "milliseconds_a_step": statistics.median(plain) if plain else None,
        "seconds": metrics[-1]["seconds"],
    }


def run_cells(
    cells: Sequence[Cell], jobs: int, dask: str | None = None, report: Callable[[int], None] | None = None
) -> list[dict[str, Any]]:
    """Run what is not done yet; returns all results, in the order of the cells.

    Args:
        cells: What to run.
        jobs: How many at a time on this machine; each gets its share of the cores.
        dask: Address of a dask scheduler, whose workers then run them, a thread each.
        report: Called with the number of cells that are done.

    Raises:
        InputError: a folder holds a cell with other settings, or there is no such scheduler.
    """
    waiting = [cell for cell in cells if not cell.done()]
    threads = 1 if dask else max(1, (os.cpu_count() or 1) // jobs)
    done = len(cells) - len(waiting)
    if report is not None:
        report(done)
    with _backend(jobs, threads, dask) as parallel:
        calls = (joblib.delayed(run_cell)(cell, threads) for cell in waiting)
        for count, _ in enumerate(parallel(calls) if waiting else (), done + 1):
            if report is not None:
                report(count)
    return [read_result(cell.result) for cell in cells]


@contextmanager
def _backend(jobs: int, threads: int, dask: str | None) -> Iterator[joblib.Parallel]:
    """Give what runs calls in parallel, here or on the workers of a dask scheduler, and yields results as they come."""
    if dask is None:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
            yield joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--dask needs the package distributed: pip install 'mann[cluster]'") from error
    try:
        client = Client(dask, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(f"--dask {dask}: no scheduler answers there: start one with `dask scheduler`") from error
    with client, joblib.parallel_config(backend="dask", client=client):
        yield joblib.Parallel(return_as="generator_unordered")
