"""Schemes of addressing, compared on the same episodes: `scripts/benchmark.py addressing`.

All cells of a task and a seed see the same episodes and the same validation, and have the same controller, memory and
training; only the scheme differs, with as many heads for each.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from data import DATASETS, InputError
from episodes import TASKS, AssociativeRecall, Copy
from mann.addressing import SCHEMES
from mann.addressing.scheme import Scheme
from mann.benchmark.cells import Cell, Goal
from mann.benchmark.writing import shown, write_benchmark
from mann.reporting.style import BLUE, GREY, plain
from mann.settings.schema import checked, default_scheme, preset

WRONG_BITS = Goal("wrong_bits_per_sequence", 0.1, False, "wrong bits a sequence")
"""Converged as Collier and Beel (2018) have it."""
SECOND_INSTANCE = Goal("2", 0.8, True, "accuracy at the 2nd instance")

HEADS = 2
"""Read heads of each scheme, and write heads where they are counted apart."""


@dataclass(frozen=True)
class Size:
    """How large a comparison is.

    Attributes:
        changes: By task, the settings that differ from the task's defaults.
        validate: Steps between two looks at the validation.
    """

    changes: Mapping[str, Mapping[str, Any]]
    validate: int


_SMALL: Mapping[str, Any] = MappingProxyType({"batch": 16, "hidden_size": 64, "slots": 32})

# What suits one scheme best (the default of a task) is not what suits all of them.
_ALIKE: Mapping[str, Any] = MappingProxyType(
    {
        "controller": "lstm",
        "hidden_size": 100,
        "initial_biases": 0.0,
        "learning_rate": 1e-3,
        "epsilon": 1e-8,
        "clip_to_median": None,
    }
)

FULL = Size(
    MappingProxyType(
        {name: {"episodes": 96_000, "slots": 64, **_ALIKE} for name in TASKS}
        | {name: {"episodes": 48_000} for name in DATASETS}
    ),
    validate=250,
)
QUICK = Size(
    MappingProxyType(
        {name: {"episodes": 12_800, **_ALIKE, **_SMALL} for name in TASKS}
        | {
            "copy": {"episodes": 12_800, "sizes": Copy(bits=4, longest=5), **_ALIKE, **_SMALL},
            "associative-recall": {"episodes": 12_800, "sizes": AssociativeRecall(bits=4, most=3), **_ALIKE, **_SMALL},
        }
        | {name: {"episodes": 3_200, "presentations": 5, **_SMALL} for name in DATASETS}
    ),
    validate=50,
)
"""Small enough for a few minutes: it shows that everything runs, how fast, and what comes out; not who is better."""


def goal_of(task: str) -> Goal:
    """Return when a task counts as learned."""
    return WRONG_BITS if task in TASKS else SECOND_INSTANCE


def with_heads(scheme: Scheme, heads: int) -> Scheme:
    """Return a scheme with so many read heads, and write heads where it counts them apart."""
    counted = [
        entry.name
        for entry in fields(scheme)  # pyright: ignore[reportArgumentType]
        if entry.name in ("read_heads", "write_heads") and isinstance(getattr(scheme, entry.name), int)
    ]
    return replace(scheme, **dict.fromkeys(counted, heads))  # pyright: ignore[reportArgumentType]


def cells(
    folder: Path, schemes: Sequence[str], tasks: Sequence[str], seeds: int, size: Size, root: Path | None = None
) -> list[Cell]:
    """Return the cells of a comparison: every scheme on every task with seed 0, then with seed 1, ...

    Networks that differ only in their seed are compiled once, if they are not compiled at the same time.

    Args:
        folder: Where their runs go.
        schemes: Their names.
        tasks: Their names.
        seeds: How many.
        size: How large each is.
        root: Where the images lie.

    Raises:
        InputError: no such scheme or task, or no seed.
    """
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: at least 1 is needed")
    for kind, names, known in (("scheme", schemes, SCHEMES), ("task", tasks, (*TASKS, *DATASETS))):
        for name in names:
            if name not in known:
                raise InputError(f"no {kind} is named {name!r}: use all, or some of {', '.join(known)}")
    found = []
    for seed, task, scheme in product(range(seeds), tasks, schemes):
        config = preset(task, "default", scheme)
        # The scheme's own options, not those that a task has for its default scheme.
        options = with_heads(default_scheme(scheme, task in DATASETS), HEADS)
        config = replace(config, scheme=options, seed=seed, **size.changes[task])
        if task in DATASETS:
            config = replace(config, root=root)
        found.append(Cell(folder / f"{task}-{scheme}-{seed}", checked(config), goal_of(task), size.validate))
    return found


def summarise(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each task and scheme: medians over seeds, with the smallest and the largest value.

    episodes_to_goal is the median over the seeds that reached it; `reached` says how many did.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault((_task_of(result), result["settings"]["addressing"]), []).append(result)
    return [
        {
            "task": task,
            "scheme": scheme,
            "seeds": len(group),
            "reached": sum(result["episodes_to_goal"] is not None for result in group),
            "success_rate": sum(result["success"] for result in group) / len(group),
            **{
                name: _spread([result[name] for result in group])
                for name in ("episodes_to_goal", "score", "milliseconds_a_step", "parameters", "peak_memory_mib")
            },
        }
        for (task, scheme), group in groups.items()
    ]


def _task_of(result: Mapping[str, Any]) -> str:
    """Return the task or data set of a cell's result."""
    return result["settings"].get("task") or result["settings"]["dataset"]


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Return median, smallest and largest of what is not None; None where nothing is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": statistics.median(known), "low": min(known), "high": max(known)}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a table, a part for each task."""
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        goal = goal_of(task)
        side = "at least" if goal.higher else "at most"
        lines += [
            f"### {task}",
            "",
            f"Goal: {goal.name} {side} {goal.bound:g} on validation episodes. Medians over seeds (lowest-highest); "
            "MiB: peak memory.",
            "",
            f"| scheme | seeds at goal | episodes to goal | {goal.name} at the end | ms a step | parameters | MiB |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in (row for row in rows if row["task"] == task):
            cells = (
                f"{round(row['success_rate'] * row['seeds'])} of {row['seeds']}",
                shown(row["episodes_to_goal"], "{:,.0f}"),
                shown(row["score"], "{:.3g}"),
                shown(row["milliseconds_a_step"], "{:.1f}"),
                f"{row['parameters']['median']:,.0f}",
                shown(row["peak_memory_mib"], "{:,.0f}"),
            )
            lines.append(f"| {row['scheme']} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def plot(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure: episodes to the goal, the last score and the time of a step, a row of pictures for each task."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(13, 1.2 + 2.6 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), 3, squeeze=False)
    for line, task in zip(grid, tasks, strict=True):
        own = [row for row in rows if row["task"] == task]
        names = [f"{row['scheme']} ({row['reached']}/{row['seeds']})" for row in own]
        goal = goal_of(task)
        figures = (
            ("episodes_to_goal", "episodes to the goal"),
            ("score", goal.name),
            ("milliseconds_a_step", "ms a step"),
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
            plain(axes)
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


_FIGURES = ("episodes_to_goal", "success", "score", "milliseconds_a_step", "seconds", "parameters", "peak_memory_mib")


def _line(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line of a cell in the CSV file."""
    settings = result["settings"]
    named = {"task": _task_of(result), "scheme": settings["addressing"], "seed": settings["seed"]}
    return named | {name: result[name] for name in _FIGURES}
