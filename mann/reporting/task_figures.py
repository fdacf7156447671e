"""The algorithmic tasks: what answers cost at which sizes, how training went, and what sequences look like.

`evaluation` is the content of evaluation.json, `metrics` the lines of metrics.jsonl.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich import box
from rich.table import Table

from data import InputError
from mann.evaluation.answers import answers_of
from mann.evaluation.task_costs import Example, Setting, Sweep
from mann.reporting.style import GREY, SKY, VERMILION, colours, plain, show_episodes

SMALLEST = 1e-3
"""The least cost that pictures tell from 0, on an axis of powers of ten."""

_NAMES = {
    "bits_per_sequence": "cost\n(bits)",
    "nats_per_sequence": "cost\n(nats)",
    "wrong_bits_per_sequence": "wrong\nbits",
    "exact_sequences": "all\nright",
    "bit_error_rate": "bit error\nrate",
    "squared_error": "squared\nerror",
}
_SHARES = ("exact_sequences", "bit_error_rate")


def said(setting: Setting) -> str:
    """Return sizes as people read them."""
    return ", ".join(f"{name} {size}" for name, size in setting.items()) or "as in training"


def task_table(evaluation: Mapping[str, Any]) -> Table:
    """Return what the sequences of a task cost at each of the sizes that were measured, and known estimators beside."""
    table = Table(
        title=f"{evaluation['task']}, {evaluation['sequences']} sequences a row",
        caption="of a sequence, on average; the interval is that of the cost",
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
            said(result["setting"]),
            f"{result[names[0]]:.4g}",
            f"{low:.4g} to {high:.4g}",
            *(f"{result[name]:.2%}" if name in _SHARES else f"{result[name]:.4g}" for name in names[1:]),
        )
        for part, figures in result.get("parts", {}).items():
            wrong = (f"{figures[name]:.2%}" if name in _SHARES else f"{figures[name]:.4g}" for name in names[1:])
            table.add_row(f"  {part}", f"{figures[names[0]]:.4g}", "", *wrong, style="dim")
        for name, estimator in result.get("references", {}).items():
            low, high = estimator["interval"]
            above = f"{estimator['above']:+.4g} ({low:+.4g} to {high:+.4g})"
            table.add_row(f"  {name}", f"{estimator['cost']:.4g}", "", *[""] * (len(names) - 1), style="dim")
            table.add_row(f"    network above it: {above}", style="dim")
    return table


def draw_sizes(axes: Axes, sweep: Sweep, evaluations: Mapping[str, Mapping[str, Any]], trained: int) -> None:
    """Draw what sequences cost against one of their sizes.

    Args:
        axes: Where to draw.
        sweep: The size.
        evaluations: Of one task, by the name of the run.
        trained: The largest size trained on.
    """
    task = next(iter(evaluations.values()))["task"]
    cost = answers_of(task).cost
    for colour, (name, evaluation) in zip(colours(len(evaluations)), evaluations.items(), strict=True):
        results = [result for result in evaluation["results"] if result["setting"] in sweep.settings()]
        values = [result["setting"][sweep.size] for result in results]
        axes.plot(values, [result[cost] for result in results], color=colour, marker="o", markersize=5, label=name)
        lows, highs = zip(*(result["intervals"][cost] for result in results), strict=True)
        axes.fill_between(values, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axes.axvline(trained, color=GREY, linestyle="--", linewidth=1, label="largest size trained on")
    fixed = f", {said(sweep.fixed)}" if sweep.fixed else ""
    axes.set_title(f"{task}: cost against {sweep.size}{fixed}; bands: 95% intervals", fontsize=10)
    axes.set_xlabel(sweep.size)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _show_cost(axes, cost)


def draw_task_training(axes: Axes, task: str, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw what sequences cost during training: training sequences thin, validation sequences with marks.

    runs: metrics by the name of the run.
    """
    cost = answers_of(task).cost
    for colour, (name, metrics) in zip(colours(len(runs)), runs.items(), strict=True):
        episodes = [line["episodes"] for line in metrics]
        costs = [_figure(line, line, cost) for line in metrics]
        axes.plot(episodes, costs, color=colour, linewidth=0.8, alpha=0.5)
        looks = [line for line in metrics if "validation" in line]
        axes.plot(
            [line["episodes"] for line in looks],
            [_figure(line, line["validation"], cost) for line in looks],
            color=colour,
            marker="o",
            markersize=4,
            label=name,
        )
    axes.set_title(f"{task}: cost during training; thin: training sequences", fontsize=10)
    show_episodes(axes, "sequences")
    _show_cost(axes, cost)


def _figure(line: Mapping[str, Any], figures: Mapping[str, Any], name: str) -> float:
    """Return a figure of a line of metrics, not a number where no step was counted.

    Raises:
        InputError: it is not there: the line is not of such a task.
    """
    if name not in figures:
        raise InputError(f"the line of step {line['step']} in metrics.jsonl has no {name}: is it of another run?")
    return math.nan if figures[name] is None else figures[name]


def _show_cost(axes: Axes, cost: str) -> None:
    """Let the vertical axis be for costs, by powers of ten where they cannot be negative."""
    if cost == "bits_per_sequence":
        axes.set_yscale("symlog", linthresh=SMALLEST)
        axes.set_ylim(bottom=0)
    axes.set_ylabel(cost.replace("_", " ").replace("per", "a"))


def task_columns(task: str) -> list[str]:
    """Return the columns of `task_rows`."""
    names = [column for name in answers_of(task).figures for column in (name, f"{name}_low", f"{name}_high")]
    return ["sizes", *names]


def task_rows(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each of the sizes, for a CSV file."""
    rows = []
    for result in evaluation["results"]:
        row = {"sizes": said(result["setting"])}
        for name, (low, high) in result["intervals"].items():
            row |= {name: result[name], f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def task_curve_rows(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return columns and rows of a CSV file of how training went, a row for each line of metrics."""
    rows = [
        {name: value for name, value in line.items() if name != "validation"}
        | {f"validation_{name}": value for name, value in line.get("validation", {}).items()}
        for line in metrics
    ]
    return list(dict.fromkeys(name for row in rows for name in row)), rows


def plot_sequences(task: str, examples: Sequence[Example]) -> Figure:
    """Return a figure of sequences of bits: inputs, answers asked for, answers given, and wrong bits marked.

    Sequences of numbers (regression) are drawn as points, with the mean and two standard deviations that were answered.
    """
    figure = Figure(figsize=(11, 0.8 + 2.6 * len(examples)), layout="constrained")
    blocks = figure.subplots(len(examples), 1, squeeze=False)[:, 0]
    for axes, example in zip(blocks, examples, strict=True):
        if answers_of(task).cost == "bits_per_sequence":
            _draw_bits(axes, example)
        else:
            _draw_numbers(plain(axes), example)
        axes.set_title(f"{task}, {said(example.setting)}", fontsize=10, loc="left")
    return figure


def _draw_bits(axes: Axes, example: Example) -> None:
    """Draw channels as rows and steps as columns, three blocks with a row between them."""
    shown = example.episode.inputs[:, 0].T
    asked = example.episode.mask[:, 0]
    targets = example.episode.targets[:, 0].T
    answers = example.outputs[:, 0].T.sigmoid()
    blank = torch.full_like(answers, torch.nan)
    gap = torch.full((1, shown.shape[1]), torch.nan)
    rows = torch.cat([shown, gap, targets.where(asked, blank), gap, answers.where(asked, blank)])
    axes.imshow(rows.numpy(), aspect="auto", cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    first = len(shown) + len(targets) + 2
    places = torch.nonzero(((answers > 0.5) != (targets > 0.5)) & asked).numpy()
    axes.plot(places[:, 1], places[:, 0] + first, "s", color=VERMILION, markersize=3, label="wrong bit")
    middles = (len(shown) / 2, len(shown) + 1 + len(targets) / 2, first + len(answers) / 2)
    axes.set_yticks([middle - 0.5 for middle in middles], ["input", "target", "output"])
    axes.set_xlabel(f"step; wrong bits: {len(places)} of {int(asked.sum()) * len(targets)}")


def _draw_numbers(axes: Axes, example: Example) -> None:
    """Draw the number at each step, and what was answered."""
    mean, log_variance = example.outputs[:, 0].T.numpy()
    steps, deviation = numpy.arange(1, len(mean) + 1), numpy.exp(log_variance / 2)
    low, high = mean - 2 * deviation, mean + 2 * deviation
    axes.fill_between(steps, low, high, color=SKY, alpha=0.4, linewidth=0, label="2 deviations")
    axes.plot(steps, mean, color=GREY, label="mean answered")
    axes.plot(steps, example.episode.targets[:, 0, 0].numpy(), ".", color=VERMILION, label="number asked for")
    axes.set_xlabel("step")
    axes.legend(frameon=False, loc="upper right")
