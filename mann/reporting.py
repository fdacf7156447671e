"""Tables and pictures of a classification run: accuracy by instance, and how training went.

What is reported is read back from the run folder: `evaluation` is the content of evaluation.json,
`metrics` the lines of metrics.jsonl. Accuracies are fractions there and in the CSV files, percent
in what a person looks at.
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter
from rich import box
from rich.table import Table

from episodes.labels import LABELS
from mann.published import Published, published_row

# The paper's models that stand beside ours, the one to compare with first: marker, and a colour
# of Okabe and Ito's palette, which readers with any colour vision can tell apart.
_PAPER_MODELS = {
    "MANN": ("D", "#D55E00"),
    "human": ("o", "#CC79A7"),
    "LSTM": ("s", "#009E73"),
    "feed-forward": ("^", "#E69F00"),
}
_OURS = "#0072B2"
_GREY = "#666666"
# The instances that the training picture follows, from top to bottom, and its two kinds of line.
_FOLLOWED = {10: "#000000", 5: "#0072B2", 2: "#D55E00", 1: "#E69F00"}
_TRAINING: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.6}
_VALIDATION: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "markersize": 4}
_SOURCE = "Santoro et al. 2016, arXiv 1605.06065"


def instance_table(evaluation: Mapping[str, Any]) -> Table:
    """Return accuracy by instance in percent, beside the paper's figures where it has any."""
    paper = _paper_rows(evaluation)
    title = _title(evaluation)
    table = Table(
        title=title,
        caption="instance: how often the episode has shown the class,\nthis time included"
        + (f"\npaper: {_SOURCE}" if paper else ""),
        min_width=max(len(line) for line in title.splitlines()),
        # So that the paper's columns fit into the 80 of a plain terminal.
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
            _ordinal(result["instance"]),
            _percent(result["accuracy"]),
            f"{_percent(result['low'])}-{_percent(result['high'])}",
            str(result["observations"]),
            *(_percent(row.accuracies.get(result["instance"])) for row in paper),
        )
    return table


def task_table(evaluation: Mapping[str, Any]) -> Table:
    """Return what the sequences of a task cost, at each of the sizes that were measured."""
    table = Table(
        title=f"{evaluation['task']}, {evaluation['sequences']} sequences a row",
        caption="cost and wrong bits: of a sequence, on average",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    table.add_column("sizes", no_wrap=True)
    for name in ("cost\n(bits)", "wrong\nbits", "bit error\nrate", "all\nright"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in evaluation["results"]:
        sizes = ", ".join(f"{name} {size}" for name, size in result["setting"].items())
        table.add_row(
            sizes or "as in training",
            f"{result['bits_per_sequence']:.4g}",
            f"{result['wrong_bits_per_sequence']:.4g}",
            f"{result['bit_error_rate']:.2%}",
            f"{result['exact_sequences']:.1%}",
        )
    return table


def plot_instances(evaluation: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: accuracy by instance with 95% intervals, chance, and the paper's figures."""
    figure, axes = _percent_axes()
    instances = [result["instance"] for result in evaluation["instances"]]
    accuracies = [result["accuracy"] for result in evaluation["instances"]]
    below = [result["accuracy"] - result["low"] for result in evaluation["instances"]]
    above = [result["high"] - result["accuracy"] for result in evaluation["instances"]]
    ours = axes.errorbar(
        instances,
        accuracies,
        yerr=(below, above),
        color=_OURS,
        marker="o",
        markersize=5,
        linewidth=1.5,
        capsize=3,
        label="this run, 95% interval",
        zorder=3,  # on top of the paper's points
    )
    paper = []
    for row in _paper_rows(evaluation):
        marker, colour = _PAPER_MODELS[row.model]
        paper += axes.plot(
            list(row.accuracies),
            list(row.accuracies.values()),
            marker,
            color=colour,
            markerfacecolor="white",
            markeredgewidth=1.5,
            label=f"{row.model} (paper)",
        )
    chance = _chance(evaluation)
    chance_line = axes.axhline(chance, color=_GREY, linestyle="--", linewidth=1, label=f"chance, {100 * chance:.3g}%")
    axes.set_title(_title(evaluation), fontsize=10)
    axes.set_xlabel("instance: how often the episode has shown the class, this time included")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20))
    axes.xaxis.set_major_formatter(lambda value, _: _ordinal(round(value)))
    handles = [ours, *paper, chance_line]
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    figure.savefig(path, format="png", dpi=150)


def plot_training(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG: accuracy at some instances against the number of episodes trained on."""
    figure, axes = _percent_axes()
    handles = []
    for instance, colour in _FOLLOWED.items():
        training = _curve(metrics, "accuracy", instance)
        validation = _curve(metrics, "validation", instance)
        axes.plot(*training, color=colour, **_TRAINING)
        axes.plot(*validation, color=colour, **_VALIDATION)
        if training[0] or validation[0]:
            label = f"{_ordinal(instance)} instance"
            handles.append(Line2D([], [], color=colour, linewidth=3, label=label))
    handles += [
        Line2D([], [], color=_GREY, label="training classes", **_TRAINING),
        Line2D([], [], color=_GREY, label="validation classes,\nnever trained on", **_VALIDATION),
    ]
    axes.set_title("Accuracy by instance of a class, during training", fontsize=10)
    axes.set_xlabel("episodes trained on")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlim(left=0)
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    figure.savefig(path, format="png", dpi=150)


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under a header; a value that a row lacks is left empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_report(run: Path, evaluation: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write instances.csv, curves.csv, instances.png and training.png into the run folder.

    Each file is whole or not there; one of an earlier report is replaced.

    Returns:
        The four paths.
    """
    paths = [run / name for name in ("instances.csv", "curves.csv", "instances.png", "training.png")]
    instances, curves, instance_picture, training_picture = paths
    with _whole(instances) as path:
        columns = ("instance", "accuracy", "low", "high", "observations")
        write_csv(path, columns, evaluation["instances"])
    with _whole(curves) as path:
        write_csv(path, *_curve_rows(metrics))
    with _whole(instance_picture) as path:
        plot_instances(evaluation, path)
    with _whole(training_picture) as path:
        plot_training(metrics, path)
    return paths


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, renamed to `path` at the end, removed after an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _percent_axes() -> tuple[Figure, Axes]:
    """Return a figure and its axes, the vertical one for accuracies from 0 to 100%."""
    # Not pyplot: it keeps every figure in a global list and may look for a screen.
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylabel("accuracy")
    axes.set_ylim(-0.02, 1.02)  # room for the points at 0 and at 100%
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _paper_rows(evaluation: Mapping[str, Any]) -> list[Published]:
    """Return the paper's rows that can stand beside an evaluation: on Omniglot, same labels."""
    if evaluation["dataset"] != "omniglot":
        return []
    rows = (published_row(model, evaluation["classes"], evaluation["labels"]) for model in _PAPER_MODELS)
    return [row for row in rows if row is not None]


def _chance(evaluation: Mapping[str, Any]) -> float:
    """Return the accuracy of a label drawn blindly from all possible ones."""
    labels = LABELS[evaluation["labels"]](evaluation["classes"])
    return 1 / labels.symbols**labels.characters


def _title(evaluation: Mapping[str, Any]) -> str:
    """Say in two lines what was evaluated, and on how many and what episodes."""
    return (
        f"Accuracy by instance: {evaluation['dataset']}, {evaluation['split']} classes\n"
        f"{evaluation['episodes']} episodes of {evaluation['classes']} classes, "
        f"labels: {evaluation['labels']}, chance: {100 * _chance(evaluation):.3g}%"
    )


def _percent(fraction: float | None) -> str:
    """Return a fraction in percent with one decimal, nothing for None."""
    return "" if fraction is None else f"{100 * fraction:.1f}"


def _ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, ..., 11th, ..., 21st for a number >= 0."""
    suffixes = {1: "st", 2: "nd", 3: "rd"}
    suffix = "th" if number % 100 in (11, 12, 13) else suffixes.get(number % 10, "th")
    return f"{number}{suffix}"


def _curve(metrics: Sequence[Mapping[str, Any]], part: str, instance: int) -> tuple[list[int], list[float]]:
    """Return episodes trained on and accuracy, for the lines where it was measured."""
    measured = [line for line in metrics if str(instance) in line.get(part, {})]
    return (
        [line["episodes"] for line in measured],
        [line[part][str(instance)] for line in measured],
    )


def _curve_rows(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return columns and rows of curves.csv, a row per logged line, a column per instance."""
    plain = ["step", "episodes", "seconds", "loss", "learning_rate"]
    columns = list(plain)
    rows = [{name: line[name] for name in plain if name in line} for line in metrics]
    for part in ("accuracy", "validation"):
        instances = {int(instance) for line in metrics for instance in line.get(part, {})}
        columns += [f"{part}_{instance}" for instance in sorted(instances)]
        for row, line in zip(rows, metrics, strict=True):
            row.update({f"{part}_{key}": value for key, value in line.get(part, {}).items()})
    return columns, rows
