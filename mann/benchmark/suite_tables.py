"""What the cells of the suites say: rows, tables, plots, and the files of the comparison.

`results` are contents of `cell.json` files of suites; `rows` are what `summarise` makes of them, one for each model on
each task.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mann.benchmark.suites import SUITES, name_of
from mann.benchmark.writing import write_benchmark
from mann.evaluation.task_costs import largest_trained
from mann.papers.published import PUBLISHED_STRINGS
from mann.reporting.html import ReportTable, embedded, write_page
from mann.reporting.style import COLOURS, GREY, clean_axes, colour, percent, set_accuracy_axis
from mann.settings import TaskConfig
from mann.settings.storage import config_from_plain

Row = Mapping[str, Any]
"""A model on a task of a suite, over its seeds; see `summarise`."""

_DASHES: Final = ("-", "--", ":")


def summarise(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each suite, task and model.

    Returns:
        suite, column, model: the suite, the task in it and the model.
        seeds: number of seeds.
        learned: seeds whose training ended because the validation had no more mistakes.
        size, trained: the name of the size that grows, and the largest of the training.
        curve: for each size of the test `size`, `mean`, `low` and `high`: accuracy over seeds.
        scores: for each seed, the mean accuracy over the sizes that the suite judges.
        solved: seeds whose score solves the task.
        parameters, state_numbers, milliseconds_a_step, minutes: medians over seeds.
    """
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["suite"], result["column"], name_of(_config(result))), []).append(result)
    return [
        {"suite": suite, "column": column, "model": model, **_over_seeds(suite, group)}
        for (suite, column, model), group in groups.items()
    ]


def _config(result: Mapping[str, Any]) -> TaskConfig:
    """Return the settings of a result."""
    config = config_from_plain(result["settings"], "the settings of a cell")
    assert isinstance(config, TaskConfig)
    return config


def _over_seeds(suite: str, group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of a row."""
    sizes = _config(group[0]).sizes
    ((axis, trained),) = largest_trained(sizes.name, sizes).items()
    by_size = {
        one["setting"][axis]: [result["results"][place]["accuracy"] for result in group]
        for place, one in enumerate(group[0]["results"])
    }
    judged = [
        accuracies
        for size, accuracies in by_size.items()
        if (size > trained if SUITES[suite].judged == "longer" else size == trained)
    ]
    scores = [statistics.fmean(of_a_seed) for of_a_seed in zip(*judged, strict=True)]
    milliseconds = [one["milliseconds_a_step"] for one in group if one["milliseconds_a_step"] is not None]
    return {
        "seeds": len(group),
        "learned": sum(one["learned"] for one in group),
        "size": axis,
        "trained": trained,
        "curve": [
            {"size": size, "mean": statistics.fmean(values), "low": min(values), "high": max(values)}
            for size, values in by_size.items()
        ],
        "scores": scores,
        "solved": sum(score >= SUITES[suite].solved for score in scores),
        "parameters": statistics.median(one["parameters"] for one in group),
        "state_numbers": statistics.median(one["state_numbers"] for one in group),
        "milliseconds_a_step": statistics.median(milliseconds) if milliseconds else None,
        "minutes": statistics.median(one["seconds"] for one in group) / 60,
    }


def tables(rows: Sequence[Row]) -> list[ReportTable]:
    """Return all tables: the summary, then for each suite its tasks, or its sizes where these are the point."""
    found = [_summary(rows)]
    for suite in _each(rows, "suite"):
        own = [row for row in rows if row["suite"] == suite]
        if len(_each(own, "column")) > 2:
            found.append(_by_task(suite, own))
        else:
            found += [
                _by_size(suite, column, [row for row in own if row["column"] == column])
                for column in _each(own, "column")
            ]
    return found


def _each(rows: Iterable[Row], key: str) -> list[Any]:
    """Return the values of a key, each once."""
    return list(dict.fromkeys(row[key] for row in rows))


def _summary(rows: Sequence[Row]) -> ReportTable:
    """Return a table with a row for each model."""
    suites = _each(rows, "suite")
    lines = []
    for model in _each(rows, "model"):
        own = [row for row in rows if row["model"] == model]
        lines.append(
            [
                model,
                *(_share_solved([row for row in own if row["suite"] == suite]) for suite in suites),
                _range((row["parameters"] for row in own), "{:,.0f}"),
                _range((row["state_numbers"] for row in own), "{:,.0f}"),
                _range((row["milliseconds_a_step"] for row in own), "{:.0f}"),
            ]
        )
    caption = (
        "Of each suite: tasks solved by the best seed, and in brackets the mean score in % over its tasks and all "
        "seeds. State: numbers of a sequence that a step of the test hands to the next. A step: of the training, in "
        "milliseconds, on the machine that the cells name. Ranges are over tasks."
    )
    return ReportTable("Summary", caption, ["model", *suites, "parameters", "state", "ms a step"], lines)


def _share_solved(rows: Sequence[Row]) -> str:
    """Return how many tasks were solved and the mean score, as text."""
    if not rows:
        return "-"
    solved = sum(row["solved"] > 0 for row in rows)
    score = statistics.fmean(score for row in rows for score in row["scores"])
    return f"{solved} of {len(rows)} ({percent(score)})"


def _range(values: Iterable[float | None], form: str) -> str:
    """Return the smallest and the largest value as text."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    low, high = (form.format(end) for end in (min(known), max(known)))
    return low if low == high else f"{low}-{high}"


def _by_task(suite: str, rows: Sequence[Row]) -> ReportTable:
    """Return a table with a column for each task."""
    columns = _each(rows, "column")
    lines = []
    for model in _each(rows, "model"):
        own = {row["column"]: row for row in rows if row["model"] == model}
        lines.append([model, *(_scores(own[column]) if column in own else "-" for column in columns)])
    if suite == "chomsky":
        for model, figures in PUBLISHED_STRINGS.items():
            known = [f"{figures[column]:g}" if column in figures else "-" for column in columns]
            lines.append([f"{model} (published)", *known])
    caption = (
        f"Score in %: mean over seeds, and the best of them; *: the best solves the task ({SUITES[suite].solved:.0%} "
        "or more). Published: Deletang et al. 2022, the best of 10 seeds after longer trainings; their Tape-RNN's jump "
        "is told the length of the input."
    )
    return ReportTable(SUITES[suite].title, caption, ["model", *columns], lines)


def _scores(row: Row) -> str:
    """Return the mean and the best score of a row as text."""
    mean, best = (percent(score) for score in (statistics.fmean(row["scores"]), max(row["scores"])))
    text = mean if row["seeds"] == 1 else f"{mean} / {best}"
    return text + ("*" if row["solved"] else "")


def _by_size(suite: str, column: str, rows: Sequence[Row]) -> ReportTable:
    """Return a table of a task with a column for each size."""
    sizes = [one["size"] for one in rows[0]["curve"]]
    lines = [
        [row["model"], *(percent(one["mean"]) for one in row["curve"]), f"{row['solved']} of {row['seeds']}"]
        for row in rows
    ]
    judged = "beyond" if SUITES[suite].judged == "longer" else "at"
    caption = (
        f"Accuracy in %, mean over seeds. Solved: seeds with {SUITES[suite].solved:.0%} or more {judged} the largest "
        f"size of the training, {rows[0]['trained']}."
    )
    title = f"{SUITES[suite].title}: {column}"
    return ReportTable(title, caption, ["model", *(str(size) for size in sizes), "solved"], lines)


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables as Markdown."""
    lines = []
    for table in tables(rows):
        lines += [f"### {table.title}", "", table.caption, "", f"| {' | '.join(table.columns)} |"]
        lines.append("|---" * len(table.columns) + "|")
        lines += [f"| {' | '.join(row)} |" for row in table.rows]
        lines.append("")
    return "\n".join(lines)


def plot(rows: Sequence[Row]) -> Figure:
    """Return the accuracies of a suite against size, a plot for each task."""
    columns, models = _each(rows, "column"), _each(rows, "model")
    across = min(4, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(2 + 3.6 * across, 0.8 + 2.9 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).flat
    for axes, column in zip(grid, columns, strict=False):
        _plot_task(axes, models, [row for row in rows if row["column"] == column])
        axes.set_title(column, fontsize=10)
    for axes in list(grid)[len(columns) :]:
        axes.set_axis_off()
    lines = [Line2D([], [], label=model, **_style(place)) for place, model in enumerate(models)]
    figure.legend(handles=lines, loc="outside right center", fontsize=9, frameon=False)
    return figure


def _plot_task(axes: Axes, models: Sequence[str], rows: Sequence[Row]) -> None:
    """Plot the accuracies on a task: the mean over seeds as a line, their range as a band."""
    for row in rows:
        style = _style(models.index(row["model"]))
        sizes, mean, low, high = ([one[name] for one in row["curve"]] for name in ("size", "mean", "low", "high"))
        axes.add_line(Line2D(sizes, mean, **style))
        axes.fill_between(sizes, low, high, color=style["color"], alpha=0.12, linewidth=0)
    axes.axvline(rows[0]["trained"], color=GREY, linestyle="--", linewidth=1)
    axes.set_xlabel(rows[0]["size"])
    if rows[0]["size"] == "pairs":
        axes.set_xscale("log", base=2)
    set_accuracy_axis(axes)
    clean_axes(axes)


def _style(place: int) -> dict[str, Any]:
    """Return the style of a model's line; place: among all models, from 0."""
    return {"color": colour(place), "linestyle": _DASHES[place // len(COLOURS) % len(_DASHES)], "linewidth": 1.4}


def write_suites(folder: Path, results: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write suites.json, .csv, .md and .html and a picture of each suite into a folder; returns their paths."""
    rows = summarise(results)
    plots = {suite: plot([row for row in rows if row["suite"] == suite]) for suite in _each(rows, "suite")}
    content = {"rows": rows, "cells": list(results)}
    figures = {f"suite-{suite}": figure for suite, figure in plots.items()}
    paths = write_benchmark(folder, "suites", content, _lines(results), markdown(rows), figures)
    pictures = [
        embedded(f"{SUITES[suite].title}; dashed: the largest size of the training", figure)
        for suite, figure in plots.items()
    ]
    page = folder / "suites.html"
    write_page(page, "Suites of tasks", tables(rows), pictures)
    return [*paths, page]


def _lines(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a line of the CSV file for each size of each result."""
    return [
        {
            "suite": result["suite"],
            "task": result["column"],
            "model": name_of(_config(result)),
            "seed": result["settings"]["seed"],
            "size": next(iter(one["setting"].values())),
            **{name: one[name] for name in ("accuracy", "low", "high")},
            **{name: result[name] for name in ("learned", "episodes", "seconds", "parameters", "state_numbers")},
        }
        for result in results
        for one in result["results"]
    ]
