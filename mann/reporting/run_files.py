"""Which files a run's folder is given after an evaluation: each is whole, and replaces that of an earlier report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mann.evaluation.instances import Seen
from mann.evaluation.task_costs import SWEEPS, Example
from mann.reporting.access_plot import plot_access, plot_binding
from mann.reporting.accuracy import curve_rows, draw_instances, draw_training
from mann.reporting.pictures import write_csv, write_picture
from mann.reporting.style import one_plot, plots_below
from mann.reporting.task_figures import (
    draw_sizes,
    draw_task_training,
    plot_sequences,
    task_columns,
    task_curve_rows,
    task_rows,
)


def write_classification_report(
    folder: Path, evaluation: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], seen: Seen
) -> list[Path]:
    """Write tables and pictures of a classification run; returns their paths.

    instances.csv, instances.png: accuracy by instance; curves.csv, training.png: how training went; binding.png: what
    memory did in an episode, if there is one.
    """
    paths = [folder / name for name in ("instances.csv", "curves.csv", "instances.png", "training.png")]
    instances, curves, instance_picture, training_picture = paths
    write_csv(instances, ("instance", "accuracy", "low", "high", "observations"), evaluation["instances"])
    write_csv(curves, *curve_rows(metrics))
    write_picture(plot_instances(evaluation), instance_picture)
    write_picture(plot_training(metrics), training_picture)
    if seen.access is not None:
        paths.append(folder / "binding.png")
        write_picture(plot_binding(seen.episode, seen.logits, seen.access), paths[-1])
    return paths


def write_task_report(
    folder: Path,
    evaluation: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    trained: Mapping[str, int],
    examples: Sequence[Example],
) -> list[Path]:
    """Write tables and pictures of a task's run; returns their paths.

    sizes.csv, sizes.png: cost against size, where a task has sizes to go beyond; curves.csv, training.png: how training
    went; sequences.png: sequences and answers; memory.png: what memory did in the first of them, if there is one.

    Args:
        folder: Of the run.
        evaluation: The content of evaluation.json.
        metrics: The lines of metrics.jsonl.
        trained: The largest sizes of the training, by name.
        examples: At least one.
    """
    task = evaluation["task"]
    paths = [folder / name for name in ("sizes.csv", "curves.csv", "training.png", "sequences.png")]
    sizes, curves, training_picture, sequences = paths
    write_csv(sizes, task_columns(task), task_rows(evaluation))
    write_csv(curves, *task_curve_rows(metrics))
    write_picture(plot_task_training(task, metrics), training_picture)
    write_picture(plot_sequences(task, examples), sequences)
    if task in SWEEPS:
        paths.append(folder / "sizes.png")
        write_picture(plot_sizes(evaluation, trained), paths[-1])
    if (picture := plot_example(examples[0])) is not None:
        paths.append(folder / "memory.png")
        write_picture(picture, paths[-1])
    return paths


def plot_instances(evaluation: Mapping[str, Any]) -> Figure:
    """Return a figure of the accuracy by instance; evaluation: the content of evaluation.json."""
    figure, axes = one_plot()
    draw_instances(axes, {"this run": evaluation})
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def plot_training(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of how the training of a classification went; metrics: the lines of metrics.jsonl."""
    figure, axes = one_plot()
    figure.legend(handles=draw_training(axes, metrics), loc="outside right upper", frameon=False)
    return figure


def plot_task_training(task: str, metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of how the training of a task went; metrics: the lines of metrics.jsonl."""
    figure, axes = one_plot()
    draw_task_training(axes, task, {"this run, validation": metrics})
    axes.legend(frameon=False)
    return figure


def plot_sizes(evaluation: Mapping[str, Any], trained: Mapping[str, int]) -> Figure:
    """Return a figure of cost against size, for a task of `SWEEPS`; see `write_task_report`."""
    sweeps = SWEEPS[evaluation["task"]]
    figure, blocks = plots_below(len(sweeps))
    for axes, sweep in zip(blocks, sweeps, strict=True):
        draw_sizes(axes, sweep, {"this run": evaluation}, trained[sweep.size])
        axes.legend(frameon=False)
    return figure


def plot_example(example: Example) -> Figure | None:
    """Return a figure of what memory did in a sequence; None where there is none, or no bits are asked for."""
    if example.access is None or example.outputs.shape != example.episode.targets.shape:
        return None
    return plot_access(example.episode, example.outputs, example.access)
