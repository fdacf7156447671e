"""Addressing schemes compared on the same episodes.

All cells of a task and a seed see the same episodes and the same validation, and have the same controller, memory and
training; only the scheme differs, with the same number of heads.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from torch import nn

from data import DATASETS, InputError
from episodes import TASKS, AssociativeRecall, Copy
from mann.addressing import SCHEMES, Scheme
from mann.benchmark.cells import Cell, Result
from mann.benchmark.writing import spread_text, write_benchmark
from mann.models.network import MemoryNetwork
from mann.reporting.style import BLUE, GREY, clean_axes
from mann.settings import Options, by_option, changed, default_scheme, preset
from mann.settings.storage import config_from_plain
from mann.support.trees import leaves_of
from mann.training import Problem


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


class GoalResult(Result):
    """The content of `cell.json` of a cell with a goal; see `summary`."""

    episodes_to_goal: int | None
    success: bool
    score: float


@dataclass(frozen=True)
class GoalCell(Cell):
    """A training of a number of episodes, and when it reached a goal.

    Attributes:
        goal: The goal of its task.
    """

    content = GoalResult

    goal: Goal

    def figures(self, problem: Problem, metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """See `Cell` and `summary`."""
        return {"state_numbers": state_numbers(problem.model), **summary(metrics, self.goal)}


def state_numbers(model: nn.Module) -> int:
    """Return how many numbers of each sequence a memory network hands from step to step; model: with one inside.

    They are the memory, the scheme's state, the last reads and the controller's state.
    """
    (network,) = (part for part in model.modules() if isinstance(part, MemoryNetwork))
    state = network.initial_state(1, network.output.bias)
    return sum(part.numel() for part in leaves_of(state))


def summary(metrics: Sequence[dict[str, Any]], goal: Goal) -> dict[str, Any]:
    """Return when a training reached its goal, from its lines of metrics.

    Returns:
        episodes_to_goal: episodes trained on when a validation first reached the goal, None if none did.
        success: whether the last validation reached it.
        score: the metric in the last validation.
    """
    validations = [line for line in metrics if "validation" in line]
    reached = [line["episodes"] for line in validations if goal.reached(line["validation"][goal.figure])]
    last = validations[-1]["validation"][goal.figure]
    return {"episodes_to_goal": reached[0] if reached else None, "success": goal.reached(last), "score": last}


WRONG_BITS: Final = Goal("wrong_bits_per_sequence", 0.1, False, "wrong bits per sequence")
"""Convergence as in Collier and Beel (2018)."""
RIGHT_TOKENS: Final = Goal("token_accuracy", 0.99, True, "share of tokens right")
SECOND_INSTANCE: Final = Goal("2", 0.8, True, "accuracy at the 2nd instance")

HEADS: Final = 2
"""Read heads of each scheme, and write heads where it has an option for them."""


@dataclass(frozen=True)
class Size:
    """The size of a comparison.

    Attributes:
        changes: By task, the options that differ from the task's defaults.
        validate: Steps between two validations.
    """

    changes: Mapping[str, Options]
    validate: int


_SMALL: Final[Options] = {"batch": 16, "hidden_size": 64, "slots": 32}

# The default of a task suits one scheme best; these suit all of them.
_ALIKE: Final[Options] = {
    "controller": "lstm",
    "hidden_size": 100,
    "initial_biases": 0.0,
    "learning_rate": 1e-3,
    "epsilon": 1e-8,
    "clip_to_median": None,
}

_ALIKE_IMAGES: Final[Options] = {
    "jitter_rotation": 6.0,
    "jitter_translation": 0.03,
    "jitter_scale": 0.0,
    "jitter_shear": 0.0,
}

FULL: Final = Size(
    {name: {"episodes": 96_000, "slots": 64, **_ALIKE} for name in TASKS}
    | {name: {"episodes": 48_000, **_ALIKE_IMAGES} for name in DATASETS},
    validate=250,
)
QUICK: Final = Size(
    {name: {"episodes": 12_800, **_ALIKE, **_SMALL} for name in TASKS}
    | {
        "copy": {"episodes": 12_800, "sizes": Copy(bits=4, longest=5), **_ALIKE, **_SMALL},
        "associative-recall": {"episodes": 12_800, "sizes": AssociativeRecall(bits=4, most=3), **_ALIKE, **_SMALL},
    }
    | {name: {"episodes": 3_200, "presentations": 5, **_SMALL} for name in DATASETS},
    validate=50,
)
"""A few minutes for all of it: a test that everything runs, too short to tell which scheme is better."""


def goal_of(task: str) -> Goal:
    """Return the goal of a task."""
    if task in TASKS:
        return RIGHT_TOKENS if TASKS[task].answer_kind == "tokens" else WRONG_BITS
    return SECOND_INSTANCE


def with_heads(scheme: Scheme, heads: int) -> Scheme:
    """Return a scheme with a number of read heads, and of write heads where it has an option for them."""
    counted = [
        entry.name
        for entry in fields(scheme)  # pyright: ignore[reportArgumentType]
        if entry.name in ("read_heads", "write_heads") and isinstance(getattr(scheme, entry.name), int)
    ]
    return replace(scheme, **dict.fromkeys(counted, heads))  # pyright: ignore[reportArgumentType]


def cells(
    folder: Path, schemes: Sequence[str], tasks: Sequence[str], seeds: int, size: Size, root: Path | None = None
) -> list[GoalCell]:
    """Return the cells of a comparison: every scheme on every task with seed 0, then with seed 1, ...

    In this order, networks that differ only in their seed are rarely compiled at the same time, and the later ones use
    the compiler's cache.

    Args:
        folder: The folder for the runs.
        schemes: Names of schemes.
        tasks: Names of tasks and data sets.
        seeds: Number of seeds.
        size: The size of the comparison.
        root: The folder with the images.

    Raises:
        InputError: there is no such scheme or task, or `seeds` is less than 1.
    """
    if seeds < 1:
        raise InputError(f"`seeds` is {seeds}: at least 1 is needed")
    for kind, names, known in (("scheme", schemes, SCHEMES), ("task", tasks, (*TASKS, *DATASETS))):
        for name in names:
            if name not in known:
                raise InputError(f"no {kind} is named {name!r}: use all, or some of {', '.join(known)}")
    found = []
    for seed, task, scheme in product(range(seeds), tasks, schemes):
        # The scheme's own options, not those that a task has for its default scheme.
        options = with_heads(default_scheme(scheme, task in DATASETS), HEADS)
        config = changed(preset(task, addressing=scheme), {"scheme": options, "seed": seed, **size.changes[task]})
        if task in DATASETS:
            config = changed(config, {"root": root})
        found.append(GoalCell(folder / f"{task}-{scheme}-{seed}", config, size.validate, goal_of(task)))
    return found


_SPREADS: Final = (
    "episodes_to_goal",
    "score",
    "milliseconds_a_step",
    "parameters",
    "state_numbers",
    "peak_memory_mib",
)
"""Figures of a cell of which a row has the median over seeds, and the smallest and the largest value."""


def summarise(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each task and scheme: medians over seeds, with the smallest and the largest value.

    Args:
        results: Contents of `cell.json` files.

    Returns:
        Rows in the order of the results; `episodes_to_goal` is over the `reached` seeds that reached the goal.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault(_task_and_scheme(result), []).append(result)
    return [
        {
            "task": task,
            "scheme": scheme,
            "seeds": len(group),
            "reached": sum(result["episodes_to_goal"] is not None for result in group),
            "success_rate": sum(result["success"] for result in group) / len(group),
            **{name: _spread([result.get(name) for result in group]) for name in _SPREADS},
        }
        for (task, scheme), group in groups.items()
    ]


def _task_and_scheme(result: Mapping[str, Any]) -> tuple[str, str]:
    """Return the task or data set of a result, and its scheme; the settings may be of an earlier format."""
    config = config_from_plain(result["settings"], "the settings of a cell")
    return config.task_name, by_option(config)["addressing"]


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Return the median, the smallest and the largest of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": statistics.median(known), "low": min(known), "high": max(known)}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as tables, one for each task."""
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        goal = goal_of(task)
        side = "at least" if goal.higher else "at most"
        lines += [
            f"### {task}",
            "",
            f"Goal: {goal.name} {side} {goal.bound:g} on validation episodes. Medians over seeds (lowest-highest); "
            "state: numbers of a sequence that a step hands to the next; MiB: peak memory.",
            "",
            f"| scheme | seeds at goal | episodes to goal | {goal.name} at the end "
            "| ms per step | parameters | state | MiB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in (row for row in rows if row["task"] == task):
            cells = (
                f"{round(row['success_rate'] * row['seeds'])} of {row['seeds']}",
                spread_text(row["episodes_to_goal"], "{:,.0f}"),
                spread_text(row["score"], "{:.3g}"),
                spread_text(row["milliseconds_a_step"], "{:.1f}"),
                f"{row['parameters']['median']:,.0f}",
                spread_text(row["state_numbers"], "{:,.0f}"),
                spread_text(row["peak_memory_mib"], "{:,.0f}"),
            )
            lines.append(f"| {row['scheme']} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def plot(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of the episodes to the goal, the final score and the time of a step, a row for each task."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(13, 1.2 + 2.6 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), 3, squeeze=False)
    for line, task in zip(grid, tasks, strict=True):
        own = [row for row in rows if row["task"] == task]
        names = [f"{row['scheme']} ({row['reached']}/{row['seeds']})" for row in own]
        goal = goal_of(task)
        figures = (
            ("episodes_to_goal", "episodes to goal"),
            ("score", goal.name),
            ("milliseconds_a_step", "ms per step"),
        )
        for axes, (name, label) in zip(line, figures, strict=True):
            for place, row in enumerate(own):
                spread = row[name]
                if spread is None:
                    axes.text(0.02, place, "not reached", transform=axes.get_yaxis_transform(), va="center", color=GREY)
                    continue
                axes.plot([spread["low"], spread["high"]], [place, place], color=BLUE, linewidth=2)
                axes.plot(spread["median"], place, "o", color=BLUE)
            axes.set_yticks(range(len(own)), names if axes is line[0] else [""] * len(own))
            axes.set_ylim(len(own) - 0.5, -0.5)
            axes.set_xlabel(label)
            axes.set_xlim(left=0)
            clean_axes(axes)
        line[0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        line[0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        line[1].axvline(goal.bound, color=GREY, linestyle="--", linewidth=1)
        line[0].set_title(f"{task}; in brackets: seeds that reached the goal", fontsize=10, loc="left")
    return figure


def write_comparison(folder: Path, results: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write addressing.json, .csv, .md and .png into a folder; returns their paths."""
    rows = summarise(results)
    content = {"rows": rows, "cells": list(results)}
    lines = [_line(result) for result in results]
    return write_benchmark(folder, "addressing", content, lines, markdown(rows), {"addressing": plot(rows)})


_FIGURES: Final = (
    "episodes_to_goal",
    "success",
    "score",
    "milliseconds_a_step",
    "seconds",
    "parameters",
    "state_numbers",
    "peak_memory_mib",
)


def _line(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as a line of the CSV file."""
    task, scheme = _task_and_scheme(result)
    named = {"task": task, "scheme": scheme, "seed": result["settings"]["seed"]}
    return named | {name: result.get(name) for name in _FIGURES}
