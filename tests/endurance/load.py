"""Long work: does it take more memory, or more open files, the longer it goes on?"""

import contextlib
import io
import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from episodes.algorithmic.copy import Copy
from mann.problems.opening import open_problem
from mann.reporting.style import BLUE, VERMILION, plots_below
from mann.runs.run import Run
from mann.settings.schema import AnyConfig, preset
from mann.support.process_memory import resident_mib
from mann.training.loop import Pace, fit

BATCH = 100
_SMALL = {"hidden_size": 8, "slots": 6, "word_size": 4}
_CLASSIFICATION = {**_SMALL, "size": 8, "classes": 2, "presentations": 2, "rotations": False}


def open_files() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def endure_training(count: int, folder: Path, report: Callable[[int], None]) -> dict[str, Any]:
    """Train a small network on `count` episodes; returns the memory held at every line of metrics.

    Args:
        count: Episodes, at least 1000.
        folder: Where the training goes; removed afterwards.
        report: Called with the episodes done.
    """
    run, held = Run(folder / "run"), []
    config = replace(preset("strokes"), **_CLASSIFICATION, batch=BATCH, episodes=count)

    def note(line: dict[str, Any]) -> None:
        held.append([line["episodes"], round(resident_mib(), 2), open_files()])
        report(line["episodes"])

    _train(config, run, Pace(log=max(1, config.steps // 200), validate=max(1, config.steps // 200) * 10), note)
    shutil.rmtree(run.folder)
    return _grown("episodes", held)


def endure_evaluations(
    evaluate: Callable[[list[str]], int], count: int, folder: Path, report: Callable[[int], None]
) -> dict[str, Any]:
    """Evaluate a classification and a task in turn, `count` times in all; returns memory and open files after each.

    Args:
        evaluate: The command, which takes arguments and writes tables, figures and pictures.
        count: Evaluations.
        folder: Where the runs go; removed afterwards.
        report: Called with the evaluations done.
    """
    small = Copy(bits=3, longest=4)
    runs = {
        "strokes": replace(preset("strokes"), **_CLASSIFICATION, batch=2, episodes=20),
        "copy": replace(preset("copy"), **_SMALL, sizes=small, batch=2, episodes=20),
    }
    for name, config in runs.items():
        _train(config, Run(folder / name), Pace(), lambda line: None)
    held = []
    for done in range(1, count + 1):
        name = list(runs)[done % 2]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluate([str(folder / name), "--episodes", "20", "--device", "cpu"])
        held.append([done, round(resident_mib(), 2), open_files()])
        report(done)
    for name in runs:
        shutil.rmtree(folder / name)
    return _grown("evaluations", held)


def _train(config: AnyConfig, run: Run, pace: Pace, note: Callable[[dict[str, Any]], None]) -> None:
    """Train on the CPU."""
    fit(open_problem(config, run, torch.device("cpu")), config, run, pace, note)


def _grown(unit: str, held: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return what was measured, and how much more the last quarter holds than the second (the first warms up)."""
    quarter = len(held) // 4
    second, last = held[quarter : 2 * quarter], held[-quarter:]
    growth = {
        name: statistics.median(row[column] for row in last) - statistics.median(row[column] for row in second)
        for column, name in ((1, "memory_mib"), (2, "open_files"))
    }
    return {"unit": unit, "columns": [unit, "memory_mib", "open_files"], "growth": growth, "held": list(held)}


def plot_held(found: dict[str, Any]) -> Figure:
    """Return a figure of memory and open files against the work done."""
    figure, plots = plots_below(2)
    done, memory, files = zip(*found["held"], strict=True)
    for axes, values, colour, label in (
        (plots[0], memory, BLUE, "resident memory, MiB"),
        (plots[1], files, VERMILION, "open files"),
    ):
        axes.plot(done, values, color=colour, linewidth=1.2)
        axes.set_ylim(0, 1.15 * max(values))
        axes.set_ylabel(label)
        axes.set_xlabel(found["unit"])
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    plots[1].yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
