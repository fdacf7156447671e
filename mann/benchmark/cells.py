"""Many trainings in parallel: each once, on one machine or several, continued after an interruption.

A cell is a training and its result. Its folder is that of a run, with `cell.json` once it is done: a cell with that
file is not run again, and a cell that was stopped continues from its last checkpoint.
"""

import json
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import joblib
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from data import InputError, parse_json
from mann.models.network import MemoryNetwork
from mann.problems import open_problem
from mann.runs import Run, describe_environment
from mann.settings import AnyConfig
from mann.settings.storage import plain
from mann.support.files import write_text
from mann.support.messages import first_problem
from mann.support.process_memory import forget_peak_memory, peak_memory_mib
from mann.support.trees import leaves_of
from mann.training import LoggingInterval, fit

SCHEDULER_TIMEOUT: Final = 10
"""Seconds until a scheduler that does not answer counts as missing."""
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Goal:
    """The value of a validation metric from which on a task counts as learned.

    Attributes:
        figure: The name of the metric in `metrics.jsonl`.
        bound: The value at the goal.
        higher: Whether larger values are better.
        name: The name of the metric in tables.

    >>> Goal("2", 0.8, True, "accuracy at the 2nd instance").reached(0.85)
    True
    """

    figure: str
    bound: float
    higher: bool
    name: str

    def reached(self, value: float) -> bool:
        """Return whether a value of the metric reaches the goal."""
        return value >= self.bound if self.higher else value <= self.bound


@dataclass(frozen=True)
class Cell:
    """A training of a comparison.

    Attributes:
        folder: The folder of its run.
        config: Its settings.
        goal: The goal of its task.
        validate: Steps between two validations, a multiple of 5 (or less than 5).
    """

    folder: Path
    config: AnyConfig
    goal: Goal
    validate: int

    @property
    def result(self) -> Path:
        """The file of the result."""
        return self.folder / "cell.json"

    def done(self) -> bool:
        """Return whether the cell is done.

        Raises:
            InputError: the folder holds a cell with other settings.
        """
        run = Run(self.folder)
        if run.exists():
            run.refuse_other(self.config)
        return self.result.exists()


class Result(BaseModel):
    """The content of `cell.json`; see `summary`."""

    model_config = ConfigDict(strict=True, extra="forbid")
    folder: str
    settings: dict[str, Any]
    parameters: int
    state_numbers: int | None = None  # results of earlier versions have none
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
    """Read the text of a `cell.json`; `source` names the file in errors.

    Raises:
        InputError: it is damaged.
    """
    try:
        Result.model_validate_json(text)
        return parse_json(text)
    except ValueError as error:
        raise InputError(
            f"{source} is damaged ({first_problem(error)}): delete it, and the cell is run again"
        ) from error


def run_cell(cell: Cell, threads: int) -> dict[str, Any]:
    """Train a cell, or continue its training; writes and returns its result."""
    if cell.done():
        return read_result(cell.result)
    torch.set_num_threads(threads)
    forget_peak_memory()  # of the cell that this process ran before
    run = Run(cell.folder)
    problem = open_problem(cell.config, run, _CPU)
    # The time of a step is measured between lines without validation.
    interval = LoggingInterval(log=max(1, cell.validate // 5), validate=cell.validate)
    fit(problem, cell.config, run, interval)
    result = {
        "folder": cell.folder.name,
        "settings": plain(cell.config),
        "parameters": sum(parameter.numel() for parameter in problem.model.parameters()),
        "state_numbers": state_numbers(problem.model),
        "peak_memory_mib": peak_memory_mib(),
        **summary(run.metrics(), cell.goal),
        "environment": describe_environment(_CPU),
    }
    write_text(cell.result, json.dumps(result, indent=2) + "\n")
    return result


def state_numbers(model: nn.Module) -> int:
    """Return how many numbers of each sequence a memory network hands from step to step; model: with one inside.

    They are the memory, the scheme's state, the last reads and the controller's state.
    """
    (network,) = (part for part in model.modules() if isinstance(part, MemoryNetwork))
    state = network.initial_state(1, network.output.bias)
    return sum(part.numel() for part in leaves_of(state))


def summary(metrics: Sequence[dict[str, Any]], goal: Goal) -> dict[str, Any]:
    """Return the result of a training, from its lines of metrics.

    Returns:
        episodes_to_goal: episodes trained on when a validation first reached the goal, None if none did.
        success: whether the last validation reached it.
        score: the metric in the last validation.
        milliseconds_a_step: the median over the lines, which leaves out compilation and validation; None without lines.
        seconds: of the whole training.
    """
    validations = [line for line in metrics if "validation" in line]
    reached = [line["episodes"] for line in validations if goal.reached(line["validation"][goal.figure])]
    last = validations[-1]["validation"][goal.figure]
    milliseconds = [
        1000 * (line["seconds"] - before["seconds"]) / (line["step"] - before["step"])
        for before, line in zip(metrics, metrics[1:], strict=False)
        if "validation" not in line
    ]
    return {
        "episodes_to_goal": reached[0] if reached else None,
        "success": goal.reached(last),
        "score": last,
        "milliseconds_a_step": statistics.median(milliseconds) if milliseconds else None,
        "seconds": metrics[-1]["seconds"],
    }


def run_cells(
    cells: Sequence[Cell], jobs: int, dask: str | None = None, report: Callable[[int], None] | None = None
) -> list[dict[str, Any]]:
    """Run the cells that are not done; returns all results, in the order of the cells.

    Args:
        cells: The cells.
        jobs: Number of cells that run at a time on this machine; each gets an equal share of the cores.
        dask: Address of a dask scheduler, whose workers then run the cells, with one thread each.
        report: Called with the number of cells done.

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
    """Yield a joblib pool, local or of a dask scheduler's workers, whose results come as they are done."""
    if dask is None:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=threads):
            yield joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("`dask` needs the package distributed: pip install 'mann[cluster]'") from error
    try:
        client = Client(dask, timeout=SCHEDULER_TIMEOUT)
    except (OSError, ValueError) as error:
        raise InputError(
            f"`dask={dask}`: no scheduler answers at this address; the command dask scheduler starts one"
        ) from error
    with client, joblib.parallel_config(backend="dask", client=client):
        yield joblib.Parallel(return_as="generator_unordered")
