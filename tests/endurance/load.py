"""Long work: resident set size and open files must not grow with it."""

import contextlib
import io
import os
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from episodes.algorithmic.copy import Copy
from mann.problems import open_problem
from mann.reporting.style import BLUE, VERMILION, plot_grid
from mann.runs import Run
from mann.settings import AnyConfig, Options, preset
from mann.support.process_memory import resident_mib
from mann.training import LoggingInterval, OnMetrics, fit
from tests.endurance import OnProgress

_SMALL: Final[Options] = {"hidden_size": 8, "slots": 6, "word_size": 4}
_IMAGES: Final[Options] = {**_SMALL, "size": 8, "classes": 2, "presentations": 2, "rotations": False}
TRAINING: Final[AnyConfig] = preset("strokes", **_IMAGES, batch=100)
"""The long training, but for its number of episodes."""
EVALUATED: Final[Mapping[str, AnyConfig]] = {
    "strokes": preset("strokes", **_IMAGES, batch=2, episodes=20),
    "copy": preset("copy", **_SMALL, sizes=Copy(bits=3, longest=4), batch=2, episodes=20),
}
"""The trainings whose runs are evaluated, by name."""


def open_files() -> int:
    """Return the number of files that this process has open."""
    return len(os.listdir("/proc/self/fd"))


def endure_training(count: int, folder: Path, progress: OnProgress, config: AnyConfig = TRAINING) -> dict[str, Any]:
    """Train a small network for a long time; returns resident set size and open files at every line of metrics.

    Args:
        count: Number of episodes, at least 1000.
        folder: Where the run is stored; it is deleted afterwards.
        progress: Receives the number of episodes so far.
        config: The settings, but for the number of episodes.
    """
    run, held = Run(folder / "run"), []
    config = replace(config, episodes=count)

    def measure(line: dict[str, Any]) -> None:
        held.append([line["episodes"], round(resident_mib(), 2), open_files()])
        progress(line["episodes"])

    log = max(1, config.steps // 200)
    train(config, run, LoggingInterval(log=log, validate=log * 10), measure)
    shutil.rmtree(run.folder)
    return _growth("episodes", held)


def endure_evaluations(
    evaluate: Callable[[list[str]], int],
    count: int,
    folder: Path,
    progress: OnProgress,
    configs: Mapping[str, AnyConfig] = EVALUATED,
) -> dict[str, Any]:
    """Train a few runs, evaluate them in turn; returns resident set size and open files after each evaluation.

    Args:
        evaluate: The evaluation command, which receives its arguments and writes tables, figures and pictures.
        count: Number of evaluations in all.
        folder: Where the runs are stored; they are deleted afterwards.
        progress: Receives the number of evaluations so far.
        configs: The settings of the runs, by name.
    """
    for name, config in configs.items():
        train(config, Run(folder / name))
    held = []
    for done in range(1, count + 1):
        name = list(configs)[done % len(configs)]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluate([str(folder / name), "--episodes", "20", "--device", "cpu"])
        held.append([done, round(resident_mib(), 2), open_files()])
        progress(done)
    for name in configs:
        shutil.rmtree(folder / name)
    return _growth("evaluations", held)


def train(
    config: AnyConfig, run: Run, interval: LoggingInterval | None = None, on_metrics: OnMetrics | None = None
) -> None:
    """Train on the CPU."""
    fit(open_problem(config, run, torch.device("cpu")), config, run, interval, on_metrics)


def _growth(unit: str, held: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the measurements, and the growth from the second quarter to the last (the first is a warm-up)."""
    quarter = len(held) // 4
    second, last = held[quarter : 2 * quarter], held[-quarter:]
    growth = {
        name: statistics.median(row[column] for row in last) - statistics.median(row[column] for row in second)
        for column, name in ((1, "memory_mib"), (2, "open_files"))
    }
    return {"unit": unit, "columns": [unit, "memory_mib", "open_files"], "growth": growth, "held": list(held)}


def plot_load(found: dict[str, Any]) -> Figure:
    """Return a figure of resident set size and open files against the work done."""
    figure, plots = plot_grid(2)
    done, memory, files = zip(*found["held"], strict=True)
    for axes, values, colour, label in (
        (plots[0], memory, BLUE, "resident set size, MiB"),
        (plots[1], files, VERMILION, "open files"),
    ):
        axes.plot(done, values, color=colour, linewidth=1.2)
        axes.set_ylim(0, 1.15 * max(values))
        axes.set_ylabel(label)
        axes.set_xlabel(found["unit"])
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    plots[1].yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
