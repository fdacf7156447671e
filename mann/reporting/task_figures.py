"""The algorithmic tasks: tables and plots of cost or accuracy against size, training curves, and plots of sequences.

Everywhere here, `evaluation` is the content of evaluation.json and `metrics` are the lines of metrics.jsonl.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich import box
from rich.table import Table
from torch import Tensor

from data import InputError
from episodes import TASKS
from mann.evaluation.answers import answers_of
from mann.evaluation.figures import setting_text
from mann.evaluation.task_costs import Sweep, TaskTrace
from mann.reporting.style import GREY, SKY, VERMILION, clean_axes, colours, set_episode_axis

SMALLEST = 1e-3
"""Costs below this are drawn on a linear scale, above it on a logarithmic scale."""

_NAMES = {
    "bits_per_sequence": "cost\n(bits)",
    "nats_per_sequence": "cost\n(nats)",
    "wrong_bits_per_sequence": "wrong\nbits",
    "exact_sequences": "all\nright",
    "bit_error_rate": "bit error\nrate",
    "squared_error": "squared\nerror",
    "token_accuracy": "right\ntokens",
    "nats_per_token": "nats\na token",
}
_SHARES = ("exact_sequences", "bit_error_rate", "token_accuracy")


def _figure_text(name: str, value: float) -> str:
    """Return a figure as text, shares in percent."""
    return f"{value:.2%}" if name in _SHARES else f"{value:.4g}"


def _measure(task: str) -> str:
    """Return the word for the main figure of a task."""
    return "accuracy" if answers_of(task).share else "cost"


def task_table(evaluation: Mapping[str, Any]) -> Table:
    """Return a table of a task's main figure and the others at each size, with known estimators for comparison."""
    table = Table(
        title=f"{evaluation['task']}, {evaluation['sequences']} sequences a row",
        caption=f"averages over sequences; the interval is that of the {_measure(evaluation['task'])}",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    names = list(answers_of(evaluation["task"]).figures)
    table.add_column("sizes", no_wrap=True)
    for column in (_NAMES[names[0]], "95%\ninterval", *(_NAMES[name] for name in names[1:])):
        table.add_column(column, justify="right", no_wrap=True)
    for result in evaluation["results"]:
        low, high = result["intervals"][names[0]]
        table.add_row(
            setting_text(result["setting"]),
            _figure_text(names[0], result[names[0]]),
            f"{_figure_text(names[0], low)} to {_figure_text(names[0], high)}",
            *(_figure_text(name, result[name]) for name in names[1:]),
        )
        for part, figures in result.get("parts", {}).items():
            wrong = (_figure_text(name, figures[name]) for name in names[1:])
            table.add_row(f"  {part}", f"{figures[names[0]]:.4g}", "", *wrong, style="dim")
        for name, estimator in result.get("references", {}).items():
            low, high = estimator["interval"]
            above = f"{estimator['above']:+.4g} ({low:+.4g} to {high:+.4g})"
            table.add_row(f"  {name}", f"{estimator['cost']:.4g}", "", *[""] * (len(names) - 1), style="dim")
            table.add_row(f"    network above it: {above}", style="dim")
    return table


def draw_sizes(axes: Axes, sweep: Sweep, evaluations: Mapping[str, Mapping[str, Any]], trained: int) -> None:
    """Draw the main figure of sequences against one of their sizes.

    Args:
        axes: Where to draw.
        sweep: The size and its values.
        evaluations: The evaluations of one task, by the name of the run.
        trained: The largest size of the training.
    """
    task = next(iter(evaluations.values()))["task"]
    main = answers_of(task).main
    for colour, (name, evaluation) in zip(colours(len(evaluations)), evaluations.items(), strict=True):
        results = [result for result in evaluation["results"] if result["setting"] in sweep.settings()]
        values = [result["setting"][sweep.size] for result in results]
        axes.plot(values, [result[main] for result in results], color=colour, marker="o", markersize=5, label=name)
        lows, highs = ([result["intervals"][main][end] for result in results] for end in (0, 1))
        axes.fill_between(values, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axes.axvline(trained, color=GREY, linestyle="--", linewidth=1, label="largest size trained on")
    fixed = f", {setting_text(sweep.fixed)}" if sweep.fixed else ""
    axes.set_title(f"{task}: {_measure(task)} against {sweep.size}{fixed}; bands: 95% intervals", fontsize=10)
    axes.set_xlabel(sweep.size)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _set_axis(axes, task)


def draw_task_training(axes: Axes, task: str, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the main figure of sequences during training: training sequences as thin lines, validation with marks.

    Args:
        axes: Where to draw.
        task: The name of the task.
        runs: The metrics by the name of the run.
    """
    main = answers_of(task).main
    for colour, (name, metrics) in zip(colours(len(runs)), runs.items(), strict=True):
        episodes = [line["episodes"] for line in metrics]
        axes.plot(episodes, [_value(line, line, main) for line in metrics], color=colour, linewidth=0.8, alpha=0.5)
        validated = [line for line in metrics if "validation" in line]
        axes.plot(
            [line["episodes"] for line in validated],
            [_value(line, line["validation"], main) for line in validated],
            color=colour,
            marker="o",
            markersize=4,
            label=name,
        )
    axes.set_title(f"{task}: {_measure(task)} during training; thin: training sequences", fontsize=10)
    set_episode_axis(axes, "sequences")
    _set_axis(axes, task)


def _value(line: Mapping[str, Any], values: Mapping[str, Any], name: str) -> float:
    """Return a value of a line of metrics; NaN where no step was counted.

    Raises:
        InputError: there is no such value, so the line is not of such a task.
    """
    if name not in values:
        raise InputError(f"metrics.jsonl, step {line['step']}: {name} is missing: does the file belong to another run?")
    return math.nan if values[name] is None else values[name]


def _set_axis(axes: Axes, task: str) -> None:
    """Format the vertical axis for the main figure of a task; logarithmic for costs that cannot be negative."""
    main = answers_of(task).main
    if main == "bits_per_sequence":
        axes.set_yscale("symlog", linthresh=SMALLEST)
        axes.set_ylim(bottom=0)
    if answers_of(task).share:
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel(main.replace("_", " ").replace("per", "a"))


def task_columns(task: str) -> list[str]:
    """Return the columns of `task_rows`."""
    names = [column for name in answers_of(task).figures for column in (name, f"{name}_low", f"{name}_high")]
    return ["sizes", *names]


def task_rows(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of sizes.csv, one for each size."""
    rows = []
    for result in evaluation["results"]:
        row = {"sizes": setting_text(result["setting"])}
        for name, (low, high) in result["intervals"].items():
            row |= {name: result[name], f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def task_curve_rows(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return columns and rows of curves.csv, one row for each line of metrics."""
    rows = [
        {name: value for name, value in line.items() if name != "validation"}
        | {f"validation_{name}": value for name, value in line.get("validation", {}).items()}
        for line in metrics
    ]
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def plot_sequences(task: str, traces: Sequence[TaskTrace]) -> Figure:
    """Return a figure of sequences of bits or tokens: inputs, targets and outputs, with wrong ones marked.

    Sequences of numbers (regression) are drawn as points, with the mean and two standard deviations of the outputs.
    """
    figure = Figure(figsize=(11, 0.8 + 2.6 * len(traces)), layout="constrained")
    blocks = figure.subplots(len(traces), 1, squeeze=False)[:, 0]
    for axes, trace in zip(blocks, traces, strict=True):
        match TASKS[task].answer_kind:
            case "bits":
                answers = trace.outputs[:, 0].sigmoid()
                _draw_channels(axes, trace, answers, (answers > 0.5) != (trace.episode.targets[:, 0] > 0.5), "bit")
            case "tokens":
                answers = trace.outputs[:, 0].softmax(-1)
                chosen = answers == answers.amax(-1, keepdim=True)
                _draw_channels(axes, trace, answers, chosen & (trace.episode.targets[:, 0] < 0.5), "token")
            case "numbers":
                _draw_numbers(clean_axes(axes), trace)
        axes.set_title(f"{task}, {setting_text(trace.setting)}", fontsize=10, loc="left")
    return figure


def _draw_channels(axes: Axes, trace: TaskTrace, answers: Tensor, wrong: Tensor, noun: str) -> None:
    """Draw channels as rows and steps as columns, in three blocks with an empty row between them.

    Args:
        axes: Where to draw.
        trace: The sequence.
        answers: Probabilities [time, output_size].
        wrong: Which of them are marked, where an answer counts, bool of the same shape.
        noun: The word for one of them.
    """
    inputs, counted, targets = trace.episode.inputs[:, 0].T, trace.episode.mask[:, 0], trace.episode.targets[:, 0].T
    blank = torch.full_like(targets, torch.nan)
    gap = torch.full((1, inputs.shape[1]), torch.nan)
    rows = torch.cat([inputs, gap, targets.where(counted, blank), gap, answers.T.where(counted, blank)])
    axes.imshow(rows.numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    first = len(inputs) + len(targets) + 2
    places = torch.nonzero(wrong.T & counted).numpy()
    axes.plot(places[:, 1], places[:, 0] + first, "s", color=VERMILION, markersize=3, label=f"wrong {noun}")
    middles = (len(inputs) / 2, len(inputs) + 1 + len(targets) / 2, first + len(targets) / 2)
    axes.set_yticks([middle - 0.5 for middle in middles], ["input", "target", "output"])
    total = int(counted.sum()) * (len(targets) if noun == "bit" else 1)
    axes.set_xlabel(f"step; wrong {noun}s: {len(places)} of {total}")


def _draw_numbers(axes: Axes, trace: TaskTrace) -> None:
    """Draw the targets and the distribution that the network predicted."""
    mean, log_variance = trace.outputs[:, 0].T.numpy()
    steps, deviation = numpy.arange(1, len(mean) + 1), numpy.exp(log_variance / 2)
    low, high = mean - 2 * deviation, mean + 2 * deviation
    axes.fill_between(steps, low, high, color=SKY, alpha=0.4, linewidth=0, label="2 standard deviations")
    axes.plot(steps, mean, color=GREY, label="predicted mean")
    axes.plot(steps, trace.episode.targets[:, 0, 0].numpy(), ".", color=VERMILION, label="target")
    axes.set_xlabel("step")
    axes.legend(frameon=False, loc="upper right")
