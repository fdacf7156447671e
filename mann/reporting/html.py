"""The HTML report of a run: one self-contained file that loads nothing, readable with and without JavaScript."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from matplotlib.figure import Figure
from rich.table import Table

from data import InputError, load
from mann.evaluation.answers import answers_of
from mann.evaluation.instances import first_sequence
from mann.evaluation.task_costs import SWEEPS, largest_trained, task_traces
from mann.models.classifier import Classifier
from mann.reporting.accuracy import instance_table
from mann.reporting.binding_plot import plot_binding
from mann.reporting.evaluation_file import read_evaluation
from mann.reporting.pictures import DPI
from mann.reporting.run_files import plot_instances, plot_sizes, plot_task_training, plot_trace, plot_training
from mann.reporting.steps import Plain, classification_steps, task_steps
from mann.reporting.task_figures import plot_sequences, task_table
from mann.runs import LoadedRun, Run, load_run
from mann.settings import Memory, TaskConfig, by_option
from mann.support.files import write_text

_CPU = torch.device("cpu")


class Picture(NamedTuple):
    """A picture of the report: its description, and its PNG as a data URL."""

    description: str
    source: str


class ReportTable(NamedTuple):
    """A table of the report, as plain text."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class ReportContent(NamedTuple):
    """The parts of a report that depend on the kind of the problem.

    Attributes:
        table: The results of the last evaluation; None if the run was not evaluated.
        results, training, memory: Pictures of the results, of the training and of the use of memory.
        steps: A sequence step by step; see `mann.reporting.steps`.
    """

    table: ReportTable | None
    results: list[Picture]
    training: list[Picture]
    memory: list[Picture]
    steps: Plain


def write_html_report(run: Run, path: Path, root: Path | None = None) -> None:
    """Write the report of a run: results, training curves, use of memory, settings, environment.

    Args:
        run: A run with a checkpoint. The results are those of its last evaluation, if there was one.
        path: The file to write.
        root: The folder with the images, if it is not the folder that training used.

    Raises:
        InputError: there is no checkpoint, or the images or a file of the run cannot be read.
    """
    loaded, metrics = load_run(run, _CPU), run.metrics()
    config = loaded.config
    evaluation = read_evaluation(run, config)
    if isinstance(config, TaskConfig):
        content = _task_content(loaded, metrics, evaluation)
    else:
        content = _classification_content(loaded, metrics, evaluation, root)
    history = run.history()
    text = _template("report.html").render(
        name=run.folder.resolve().name,
        folder=run.folder,
        problem=config.task_name,
        is_task=isinstance(config, TaskConfig),
        has_memory=isinstance(config.model, Memory),
        model=config.model.scheme.name if isinstance(config.model, Memory) else f"none ({config.model.kind})",
        history=history,
        settings=by_option(config),
        environment={name: str(value) for name, value in (history["environment"] or {}).items()},
        **content._asdict(),
    )
    write_text(path, text)


def write_page(path: Path, title: str, tables: Sequence[ReportTable], pictures: Sequence[Picture]) -> None:
    """Write tables and pictures as one self-contained HTML file that loads nothing."""
    write_text(path, _template("page.html").render(title=title, tables=tables, pictures=pictures))


def _template(name: str) -> Template:
    """Return a template of this folder."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _classification_content(
    loaded: LoadedRun, metrics: Sequence[Mapping[str, Any]], evaluation: Plain | None, root: Path | None
) -> ReportContent:
    """Return the content of the report of a classification run."""
    config, split = loaded.classification
    if not isinstance(loaded.model, Classifier):
        raise InputError("the run is of MAML, which answers no sequences: there is nothing to report")
    classes, split = load(config.dataset, root or config.root, config.size, split)
    trace = first_sequence(loaded.model, config, classes, split)
    memory = (
        [] if trace.access is None else [plot_binding(trace.episode, trace.logits, trace.access, trace.weights_are)]
    )
    return ReportContent(
        table=None if evaluation is None else _report_table(instance_table(evaluation)),
        results=[] if evaluation is None else [embedded("Accuracy by instance", plot_instances(evaluation))],
        training=[embedded("Accuracy by instance during training", plot_training(metrics))] if metrics else [],
        memory=[embedded("The class that was bound, over the whole sequence", plot) for plot in memory],
        steps=classification_steps(trace),
    )


def _task_content(loaded: LoadedRun, metrics: Sequence[Mapping[str, Any]], evaluation: Plain | None) -> ReportContent:
    """Return the content of the report of a task run."""
    config = loaded.task
    task = config.task
    traces = task_traces(loaded.model, config, _CPU)
    trained = largest_trained(task, config.sizes)
    results = [embedded("Sequences and the answers to them", plot_sequences(task, traces))]
    measure = "Accuracy" if answers_of(task).share else "Cost"
    if evaluation is not None and task in SWEEPS:
        results.insert(0, embedded(f"{measure} against size", plot_sizes(evaluation, trained)))
    memory = plot_trace(traces[0])
    return ReportContent(
        table=None if evaluation is None else _report_table(task_table(evaluation)),
        results=results,
        training=[embedded(f"{measure} during training", plot_task_training(task, metrics))] if metrics else [],
        memory=[] if memory is None else [embedded("Writes and reads over the whole sequence", memory)],
        steps=task_steps(traces[0], tokens=config.sizes.answer_kind == "tokens"),
    )


def embedded(description: str, figure: Figure) -> Picture:
    """Return a figure as a picture of a page."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return Picture(description, f"data:image/png;base64,{b64encode(content.getvalue()).decode()}")


def _report_table(table: Table) -> ReportTable:
    """Return a table for the terminal as a table of the report."""
    columns = [str(column.header).replace("-\n", "-").replace("\n", " ") for column in table.columns]
    rows = list(zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True))
    title, caption = (" ".join(str(text or "").split()) for text in (table.title, table.caption))
    return ReportTable(title, caption, columns, rows)
