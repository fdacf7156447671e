"""Everything about a run on one page: one file that loads nothing, for a browser with or without JavaScript."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from rich.table import Table

from data import load
from mann.addressing import SCHEMES
from mann.evaluation.instances import first_sequence
from mann.evaluation.task_costs import SWEEPS, examples_of, largest_trained
from mann.reporting.access_plot import plot_binding
from mann.reporting.accuracy import instance_table
from mann.reporting.evaluation_file import read_evaluation
from mann.reporting.pictures import DPI
from mann.reporting.run_files import plot_example, plot_instances, plot_sizes, plot_task_training, plot_training
from mann.reporting.steps import Plain, classification_steps, task_steps
from mann.reporting.task_figures import plot_sequences, task_table
from mann.runs.run import Run
from mann.settings.schema import Config, TaskConfig, settings_by_name, what_is_learned
from mann.support.files import write_text

_CPU = torch.device("cpu")


class Picture(NamedTuple):
    """A picture within a page: what it shows, and its content as an address."""

    description: str
    source: str


class Rows(NamedTuple):
    """A table within a page."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Content(NamedTuple):
    """What a page shows of a run.

    Attributes:
        table: What it can do; None: it was not evaluated.
        results, training, memory: Pictures.
        steps: A sequence step by step; see `mann.reporting.steps`.
    """

    table: Rows | None
    results: list[Picture]
    training: list[Picture]
    memory: list[Picture]
    steps: Plain


def write_html_report(run: Run, path: Path, root: Path | None = None) -> None:
    """Write everything about a run to one file.

    Args:
        run: With a checkpoint; what an evaluation found is shown if there was one.
        path: Of the file.
        root: Where the data lie, if not where they were in training.

    Raises:
        InputError: there is no checkpoint, or the data or a file of the run cannot be read.
    """
    config, metrics = run.config(), run.metrics()
    evaluation = read_evaluation(run, config)
    if isinstance(config, TaskConfig):
        content = _of_task(run, config, metrics, evaluation)
    else:
        assert isinstance(config, Config)
        content = _of_classification(run, config, metrics, evaluation, root)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    history = run.history()
    text = environment.get_template("report.html").render(
        name=run.folder.resolve().name,
        folder=run.folder,
        learned=what_is_learned(config),
        is_task=isinstance(config, TaskConfig),
        has_memory=config.addressing in SCHEMES,
        addressing=config.addressing,
        history=history,
        settings=dict(settings_by_name(config)),
        environment={name: str(value) for name, value in (history["environment"] or {}).items()},
        **content._asdict(),
    )
    write_text(path, text)


def _of_classification(
    run: Run, config: Config, metrics: Sequence[Mapping[str, Any]], evaluation: Plain | None, root: Path | None
) -> Content:
    """Return what a page shows of a classification."""
    classes, split = load(config.dataset, root or config.root, config.size, str(run.split_path))
    seen = first_sequence(run, classes, split)
    memory = [] if seen.access is None else [plot_binding(seen.episode, seen.logits, seen.access)]
    return Content(
        table=None if evaluation is None else _rows(instance_table(evaluation)),
        results=[] if evaluation is None else [_picture("Accuracy by instance", plot_instances(evaluation))],
        training=[_picture("Accuracy by instance during training", plot_training(metrics))] if metrics else [],
        memory=[_picture("Which slot was bound to which class, over the whole sequence", plot) for plot in memory],
        steps=classification_steps(seen),
    )


def _of_task(run: Run, config: TaskConfig, metrics: Sequence[Mapping[str, Any]], evaluation: Plain | None) -> Content:
    """Return what a page shows of a task."""
    task = config.task
    examples = examples_of(run, _CPU)
    trained = largest_trained(task, config.sizes)
    results = [_picture("Sequences, and what was answered", plot_sequences(task, examples))]
    if evaluation is not None and task in SWEEPS:
        results.insert(0, _picture("Cost against size", plot_sizes(evaluation, trained)))
    memory = plot_example(examples[0])
    return Content(
        table=None if evaluation is None else _rows(task_table(evaluation)),
        results=results,
        training=[_picture("Cost during training", plot_task_training(task, metrics))] if metrics else [],
        memory=[] if memory is None else [_picture("What was written and read, over the whole sequence", memory)],
        steps=task_steps(examples[0]),
    )


def _picture(description: str, figure: Figure) -> Picture:
    """Return a figure as a picture within a page."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return Picture(description, f"data:image/png;base64,{b64encode(content.getvalue()).decode()}")


def _rows(table: Table) -> Rows:
    """Return a table of the terminal as one for a page."""
    columns = [str(column.header).replace("-\n", "-").replace("\n", " ") for column in table.columns]
    rows = list(zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True))
    title, caption = (" ".join(str(text or "").split()) for text in (table.title, table.caption))
    return Rows(title, caption, columns, rows)
