"""Many trainings in parallel: each once, on one machine or several, continued after an interruption.

A cell is a training and what is measured of it. Its folder is that of a run, with `cell.json` once it is done: a cell
with that file is not run again, and a cell that was stopped continues from its last checkpoint.
"""

import json
import os
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import joblib
import torch
from pydantic import BaseModel, ConfigDict

from data import InputError, parse_json
from mann.problems import open_problem
from mann.runs import Run, describe_environment
from mann.settings import AnyConfig
from mann.settings.storage import plain
from mann.support.denormals import flushed_denormals
from mann.support.files import write_text
from mann.support.messages import first_problem
from mann.support.process_memory import forget_peak_memory, peak_memory_mib
from mann.training import LoggingInterval, Problem, fit

SCHEDULER_TIMEOUT: Final = 10
"""Seconds until a scheduler that does not answer counts as missing."""
_CPU: Final = torch.device("cpu")


class Result(BaseModel):
    """The content of `cell.json` that cells of every kind have; see `Cell.figures` for the rest.

    Attributes:
        folder: The name of the cell's folder.
        settings: Its settings.
        parameters: Trained numbers.
        state_numbers: Numbers of a sequence that a step hands to the next; None in results of earlier versions.
        peak_memory_mib: Peak resident set size of the process.
        milliseconds_a_step: The median over the lines of metrics, which leaves out compilation and validation; None
            where there are too few lines.
        seconds: Of the whole training.
        environment: The machine and the versions.
    """

    model_config = ConfigDict(strict=True, extra="forbid")
    folder: str
    settings: dict[str, Any]
    parameters: int
    state_numbers: int | None = None
    peak_memory_mib: float
    milliseconds_a_step: float | None
    seconds: float
    environment: dict[str, Any]


@dataclass(frozen=True)
class Cell(ABC):
    """A training of a comparison, and what is measured of it.

    Attributes:
        folder: The folder of its run.
        config: Its settings.
        validate: Steps between two validations, a multiple of 5 (or less than 5).
    """

    content: ClassVar[type[Result]]
    """The content of its `cell.json`."""

    folder: Path
    config: AnyConfig
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

    def ended(self, metrics: Sequence[dict[str, Any]]) -> bool:
        """Return whether the training ends here, before its number of steps is done; metrics: its lines so far."""
        return False

    @abstractmethod
    def figures(self, problem: Problem, metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return what `content` has beyond `Result`, of a trained problem and its lines of metrics."""


def read_result(cell: Cell) -> dict[str, Any]:
    """Read the result of a cell.

    Raises:
        InputError: it is damaged.
    """
    return result_from_json(cell.result.read_bytes(), str(cell.result), cell.content)


def result_from_json(text: bytes, source: str, content: type[Result]) -> dict[str, Any]:
    """Read the text of a `cell.json`; `source` names the file in errors.

    Raises:
        InputError: it is damaged.
    """
    try:
        content.model_validate_json(text)
        return parse_json(text)
    except ValueError as error:
        raise InputError(
            f"{source} is damaged ({first_problem(error)}): delete it, and the cell is run again"
        ) from error


def run_cell(cell: Cell, threads: int) -> dict[str, Any]:
    """Train a cell, or continue its training; writes and returns its result."""
    if cell.done():
        return read_result(cell)
    with flushed_denormals():
        return _run(cell, threads)


def _run(cell: Cell, threads: int) -> dict[str, Any]:
    """Train and measure a cell; see `run_cell`."""
    torch.set_num_threads(threads)
    forget_peak_memory()  # of the cell that this process ran before
    run = Run(cell.folder)
    problem = open_problem(cell.config, run, _CPU)
    # The time of a step is measured between lines without validation.
    interval = LoggingInterval(log=max(1, cell.validate // 5), validate=cell.validate)
    lines = [line for line in run.metrics() if line["step"] <= run.steps_done()]
    if cell.ended(lines):  # before a kill
        run.load(problem.model)
    else:
        fit(problem, cell.config, run, interval, report=lines.append, stopping=lambda: cell.ended(lines))
    metrics = run.metrics()
    result = {
        "folder": cell.folder.name,
        "settings": plain(cell.config),
        "parameters": sum(parameter.numel() for parameter in problem.model.parameters()),
        "peak_memory_mib": peak_memory_mib(),
        "milliseconds_a_step": milliseconds_a_step(metrics),
        "seconds": metrics[-1]["seconds"],
        **cell.figures(problem, metrics),
        "environment": describe_environment(_CPU),
    }
    write_text(cell.result, json.dumps(result, indent=2) + "\n")
    return result


def milliseconds_a_step(metrics: Sequence[dict[str, Any]]) -> float | None:
    """Return the median time of a step between lines without validation; None without such lines."""
    milliseconds = [
        1000 * (line["seconds"] - before["seconds"]) / (line["step"] - before["step"])
        for before, line in zip(metrics, metrics[1:], strict=False)
        if "validation" not in line
    ]
    return statistics.median(milliseconds) if milliseconds else None


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
    return [read_result(cell) for cell in cells]


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
