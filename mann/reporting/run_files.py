"""The tables and pictures that an evaluation writes to a run folder. Each file is replaced atomically."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mann.evaluation.instances import SequenceTrace
from mann.evaluation.task_costs import SWEEPS, TaskTrace
from mann.reporting.access_plot import plot_access
from mann.reporting.accuracy import curve_rows, draw_instances, draw_training
from mann.reporting.binding_plot import plot_binding
from mann.reporting.pictures import write_csv, write_picture
from mann.reporting.style import one_plot, plot_grid
from mann.reporting.task_figures import (
    draw_sizes,
    draw_task_training,
    plot_sequences,
    task_columns,
    task_curve_rows,
    task_rows,
)


def write_classification_report(
    folder: Path, evaluation: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], trace: SequenceTrace
) -> list[Path]:
    """Write the tables and pictures of a classification run, and return their paths.

    instances.csv, instances.png: accuracy by instance; curves.csv, training.png: the training curves; binding.png: the
    use of memory in one episode, if the network has a memory.
    """
    paths = [folder / name for name in ("instances.csv", "curves.csv", "instances.png", "training.png")]
    instances, curves, instance_picture, training_picture = paths
    write_csv(instances, ("instance", "accuracy", "low", "high", "observations"), evaluation["instances"])
    write_csv(curves, *curve_rows(metrics))
    write_picture(plot_instances(evaluation), instance_picture)
    write_picture(plot_training(metrics), training_picture)
    if trace.access is not None:
        paths.append(folder / "binding.png")
        write_picture(plot_binding(trace.episode, trace.logits, trace.access, trace.weights_are), paths[-1])
    return paths


def write_task_report(
    folder: Path,
    evaluation: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    trained: Mapping[str, int],
    traces: Sequence[TaskTrace],
) -> list[Path]:
    """Write the tables and pictures of a task run, and return their paths.

    sizes.csv, sizes.png: cost against size, for tasks that are evaluated beyond the sizes of the training; curves.csv,
    training.png: the training curves; sequences.png: sequences and answers; memory.png: the use of memory in the first
    of these sequences, if the network has a memory.

    Args:
        folder: The run folder.
        evaluation: The content of evaluation.json.
        metrics: The lines of metrics.jsonl.
        trained: The largest sizes of the training, by name.
        traces: At least one trace.
    """
    task = evaluation["task"]
    paths = [folder / name for name in ("sizes.csv", "curves.csv", "training.png", "sequences.png")]
    sizes, curves, training_picture, sequences = paths
    write_csv(sizes, task_columns(task), task_rows(evaluation))
    write_csv(curves, *task_curve_rows(metrics))
    write_picture(plot_task_training(task, metrics), training_picture)
    write_picture(plot_sequences(task, traces), sequences)
    if task in SWEEPS:
        paths.append(folder / "sizes.png")
        write_picture(plot_sizes(evaluation, trained), paths[-1])
    if (picture := plot_trace(traces[0])) is not None:
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
    """Return a figure of the training curves of a classification run; metrics: the lines of metrics.jsonl."""
    figure, axes = one_plot()
    figure.legend(handles=draw_training(axes, metrics), loc="outside right upper", frameon=False)
    return figure


def plot_task_training(task: str, metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of the training curves of a task run; metrics: the lines of metrics.jsonl."""
    figure, axes = one_plot()
    draw_task_training(axes, task, {"this run, validation": metrics})
    axes.legend(frameon=False)
    return figure


def plot_sizes(evaluation: Mapping[str, Any], trained: Mapping[str, int]) -> Figure:
    """Return a figure of cost against size, for a task in `SWEEPS`; see `write_task_report`."""
    sweeps = SWEEPS[evaluation["task"]]
    figure, blocks = plot_grid(len(sweeps))
    for axes, sweep in zip(blocks, sweeps, strict=True):
        draw_sizes(axes, sweep, {"this run": evaluation}, trained[sweep.size])
        axes.legend(frameon=False)
    return figure


def plot_trace(trace: TaskTrace) -> Figure | None:
    """Return a figure of the use of memory in a sequence; None if there is no memory, or the targets are no bits."""
    if trace.access is None or trace.outputs.shape != trace.episode.targets.shape:
        return None
    return plot_access(trace.episode, trace.outputs, trace.access, trace.weights_are)
