"""Accuracy by instance: the table, the plot, and the training curves.

Everywhere here, `evaluation` is the content of evaluation.json and `metrics` are the lines of metrics.jsonl, as read
from the run folder. Accuracies are fractions in these and in the CSV files, and percent in tables and pictures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from rich import box
from rich.table import Table

from data import InputError
from episodes.labels import LABELS
from mann.evaluation.figures import ordinal
from mann.evaluation.intervals import estimate_of
from mann.papers.published import Published, published_row
from mann.reporting.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    colours,
    draw_estimates,
    percent,
    set_accuracy_axis,
    set_episode_axis,
)

PAPER_MODELS = {"MANN": ("D", VERMILION), "human": ("o", PURPLE), "LSTM": ("s", GREEN), "feed-forward": ("^", ORANGE)}
"""The models of the paper that are compared with a run, by name: marker and colour."""
CURVE_COLOURS = {10: "#000000", 5: BLUE, 2: VERMILION, 1: ORANGE}
"""The instances with a training curve, from top to bottom, and the colours of the curves."""

_TRAINING: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.6}
_VALIDATION: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "markersize": 4}
_SOURCE = "Santoro et al. 2016, arXiv 1605.06065"


def instance_table(evaluation: Mapping[str, Any], model: str = "") -> Table:
    """Return a table of accuracy by instance in percent, with the paper's accuracies where it has comparable ones.

    Args:
        evaluation: The content of evaluation.json.
        model: A description of the model, if it is not the run's network.
    """
    paper = _paper_rows(evaluation)
    heading = "\n".join(filter(None, (_heading(evaluation), model)))
    table = Table(
        title=heading,
        caption="instance: how often the class has been presented\nin the episode, this time included"
        + (f"\npaper: {_SOURCE}" if paper else ""),
        min_width=max(len(line) for line in heading.splitlines()),
        # Narrow, because the paper's columns have to fit into a terminal of 80 columns.
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("instance", "accuracy\n%", "95%\ninterval", "observations"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in paper:
        name = row.model.replace("-", "-\n")
        table.add_column(f"{name}\n(paper)", justify="right", no_wrap=True, style="dim")
    for result in evaluation["instances"]:
        table.add_row(
            ordinal(result["instance"]),
            percent(result["accuracy"]),
            f"{percent(result['low'])}-{percent(result['high'])}",
            str(result["observations"]),
            *(percent(row.accuracies.get(result["instance"])) for row in paper),
        )
    return table


def draw_instances(axes: Axes, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw accuracy by instance with 95% intervals, chance, and the paper's accuracies.

    Args:
        axes: Where to draw.
        evaluations: The content of evaluation.json by the name of the run. The paper's accuracies are those that are
            comparable with the first one.
    """
    for colour, (name, evaluation) in zip(colours(len(evaluations)), evaluations.items(), strict=True):
        results = evaluation["instances"]
        draw_estimates(
            axes,
            [result["instance"] for result in results],
            list(map(estimate_of, results)),
            color=colour,
            marker="o",
            markersize=5,
            linewidth=1.5,
            capsize=3,
            label=f"{name}, 95% interval",
            zorder=3,  # on top of the paper's points
        )
    first = next(iter(evaluations.values()))
    for row in _paper_rows(first):
        marker, colour = PAPER_MODELS[row.model]
        axes.plot(
            list(row.accuracies),
            list(row.accuracies.values()),
            marker,
            color=colour,
            markerfacecolor="white",
            markeredgewidth=1.5,
            label=f"{row.model} (paper)",
        )
    chance = _chance(first)
    axes.axhline(chance, color=GREY, linestyle="--", linewidth=1, label=f"chance, {100 * chance:.3g}%")
    set_accuracy_axis(axes)
    axes.set_title(_heading(first), fontsize=10)
    axes.set_xlabel("instance: how often the class has been presented in the episode, this time included")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20))
    axes.xaxis.set_major_formatter(lambda value, _: ordinal(round(value)))


def draw_training(axes: Axes, metrics: Sequence[Mapping[str, Any]]) -> list[Line2D]:
    """Draw accuracy at some instances against the episodes trained on; returns the handles of a legend."""
    handles = []
    for instance, colour in CURVE_COLOURS.items():
        training = _curve(metrics, "accuracy", instance)
        validation = _curve(metrics, "validation", instance)
        axes.plot(*training, color=colour, **_TRAINING)
        axes.plot(*validation, color=colour, **_VALIDATION)
        if training[0] or validation[0]:
            handles.append(Line2D([], [], color=colour, linewidth=3, label=f"{ordinal(instance)} instance"))
    handles += [
        Line2D([], [], color=GREY, label="training classes", **_TRAINING),
        Line2D([], [], color=GREY, label="validation classes,\nnever trained on", **_VALIDATION),
    ]
    axes.set_title("Accuracy by instance of a class, during training", fontsize=10)
    set_accuracy_axis(axes)
    set_episode_axis(axes)
    return handles


def draw_second_instance(axes: Axes, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw the accuracy of several runs at the 2nd instance of validation classes, during training.

    Args:
        axes: Where to draw.
        runs: The metrics by the name of the run.
    """
    for colour, (name, metrics) in zip(colours(len(runs)), runs.items(), strict=True):
        axes.plot(*_curve(metrics, "validation", 2), color=colour, label=name, **_VALIDATION)
    axes.set_title("2nd instance, validation classes, during training", fontsize=10)
    set_accuracy_axis(axes)
    set_episode_axis(axes)


def _paper_rows(evaluation: Mapping[str, Any]) -> list[Published]:
    """Return the rows of the paper that an evaluation is comparable with: on Omniglot, with the same labels."""
    if evaluation["dataset"] != "omniglot" or variant(evaluation):
        return []
    rows = (published_row(model, evaluation["classes"], evaluation["labels"]) for model in PAPER_MODELS)
    return [row for row in rows if row is not None]


def variant(evaluation: Mapping[str, Any]) -> str:
    """Return the differences between the episodes and those of the paper, after a comma; empty if there are none."""
    alphabets = ", within one alphabet" if evaluation.get("alphabets") == "one" else ""
    return alphabets + (", persistent memory" if evaluation.get("memory") == "persistent" else "")


def _chance(evaluation: Mapping[str, Any]) -> float:
    """Return the accuracy of a label drawn uniformly from all possible labels."""
    labels = LABELS[evaluation["labels"]](evaluation["classes"])
    return 1 / labels.symbols**labels.characters


def _heading(evaluation: Mapping[str, Any]) -> str:
    """Return two lines that describe the data and the episodes of an evaluation."""
    return (
        f"Accuracy by instance: {evaluation['dataset']}, {evaluation['split']} classes\n"
        f"{evaluation['episodes']} episodes of {evaluation['classes']} classes{variant(evaluation)}, "
        f"labels: {evaluation['labels']}, chance: {100 * _chance(evaluation):.3g}%"
    )


def _curve(metrics: Sequence[Mapping[str, Any]], part: str, instance: int) -> tuple[list[int], list[float]]:
    """Return the episodes trained on and the accuracies, for the lines that have this accuracy."""
    measured = [line for line in metrics if str(instance) in line.get(part, {})]
    return (
        [line["episodes"] for line in measured],
        [line[part][str(instance)] for line in measured],
    )


def _instance(line: Mapping[str, Any], name: str) -> int:
    """Return the instance of a key such as "10".

    Raises:
        InputError: the key is no instance, so the line is not of a classification run.
    """
    if not (name.isascii() and name.isdecimal()):
        raise InputError(
            f"metrics.jsonl, step {line['step']}: expected an instance, found {name!r}: does the file belong to "
            "another run?"
        )
    return int(name)


def curve_rows(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return columns and rows of curves.csv, a row per logged line, a column per instance."""
    plain = ["step", "episodes", "seconds", "loss", "learning_rate"]
    columns = list(plain)
    rows = [{name: line[name] for name in plain if name in line} for line in metrics]
    for part in ("accuracy", "validation"):
        instances = {_instance(line, name) for line in metrics for name in line.get(part, {})}
        columns += [f"{part}_{instance}" for instance in sorted(instances)]
        for row, line in zip(rows, metrics, strict=True):
            row.update({f"{part}_{key}": value for key, value in line.get(part, {}).items()})
    return columns, rows
