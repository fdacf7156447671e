"""Several runs side by side: one table, one picture, whatever they learned.

Runs that learned the same stand beside each other: classifications of the same data, classes and labels, measured alike
(by instance, or N-way K-shot), or the same task.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from mann.evaluation.answers import answers_of
from mann.evaluation.instances import from_columns
from mann.evaluation.intervals import paired_differences
from mann.evaluation.task_costs import SWEEPS
from mann.papers.published import INSTANCES
from mann.reporting.accuracy import draw_instances, draw_second_instance, variant
from mann.reporting.few_shot_table import draw_few_shot, few_shot_name
from mann.reporting.pictures import write_csv, write_picture
from mann.reporting.style import ordinal, plots_below
from mann.reporting.task_figures import draw_sizes, draw_task_training, said


class Compared(NamedTuple):
    """A run that was evaluated.

    Attributes:
        evaluation: The content of evaluation.json, or of few-shot.json.
        metrics: The lines of metrics.jsonl.
        trained: Of a task, the largest sizes of the training.
    """

    evaluation: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    trained: Mapping[str, int]


class Figures(NamedTuple):
    """One figure of a run: where it was measured, its value and interval."""

    at: str
    name: str
    value: float
    low: float
    high: float


def learned(evaluation: Mapping[str, Any]) -> str:
    """Return what was learned: runs of which this is the same are compared."""
    if not _is_classification(evaluation):
        return evaluation["task"]
    few_shot = evaluation["task"] == "few-shot"
    classes = f"{evaluation['queries']} queries" if few_shot else f"{evaluation['classes']} classes"
    what = f"{evaluation['dataset']}, {classes}, {evaluation['labels']}, {evaluation['split']}"
    return what + variant(evaluation)


def groups(runs: Mapping[str, Compared]) -> dict[str, dict[str, Compared]]:
    """Return the runs by what they learned, then by their name."""
    found: dict[str, dict[str, Compared]] = {}
    for name, run in runs.items():
        found.setdefault(learned(run.evaluation), {})[name] = run
    return found


def figures_of(evaluation: Mapping[str, Any]) -> list[Figures]:
    """Return the figures that say most of a run: accuracies by instance, or costs by size."""
    if evaluation["task"] == "classification":
        return [
            Figures(ordinal(result["instance"]), "accuracy", result["accuracy"], result["low"], result["high"])
            for result in evaluation["instances"]
            if result["instance"] in INSTANCES
        ]
    if evaluation["task"] == "few-shot":
        return [
            Figures(few_shot_name(result), "accuracy", result["accuracy"], result["low"], result["high"])
            for result in evaluation["results"]
        ]
    cost = answers_of(evaluation["task"]).cost
    return [
        Figures(said(result["setting"]), cost, result[cost], *result["intervals"][cost])
        for result in evaluation["results"]
    ]


def differences(evaluation: Mapping[str, Any], first: Mapping[str, Any]) -> list[Figures]:
    """Return by how much a classification is more accurate than the first one, by instance, or ways and shots.

    The intervals are paired: both answered the same episodes. There is nothing where they did not.
    """
    counts, others = evaluation.get("counts"), first.get("counts")
    if not counts or not others or counts["of"] != others["of"]:
        return []
    right, before, shown = (from_columns(columns) for columns in (counts["right"], others["right"], counts["shown"]))
    found = {column: figures for column, *figures in paired_differences(right, before, shown)}
    if evaluation["task"] == "few-shot":
        names = dict(enumerate(map(few_shot_name, evaluation["results"]), 1))
    else:
        names = {instance: ordinal(instance) for instance in INSTANCES}
    return [Figures(names[column], "difference", *figures) for column, figures in found.items() if column in names]


def comparison_table(runs: Mapping[str, Compared]) -> Table:
    """Return a table of all runs, a part for what each of them learned; intervals are 95%."""
    table = Table(
        title="Runs side by side; below each figure its 95% interval",
        caption="minus: the difference to the first run on the same episodes, with its paired interval",
        box=box.SIMPLE,
        show_header=False,
    )
    shown = {what: {name: _shown(run) for name, run in group.items()} for what, group in groups(runs).items()}
    places = {
        what: list(dict.fromkeys(figure.at for figures in group.values() for figure in figures))
        for what, group in shown.items()
    }
    table.add_column(no_wrap=True)
    for _ in range(max(map(len, places.values()))):
        table.add_column(no_wrap=True, justify="right")
    for what, group in shown.items():
        unit = "accuracy, %" if next(iter(group.values()))[0].name == "accuracy" else "cost"
        table.add_row(f"{what}:\n{unit}", *(_two_lines(place) for place in places[what]), style="bold")
        first, *_ = group
        for name, figures in group.items():
            table.add_row(name, *_cells(figures, places[what]))
            if name != first and (gained := differences(runs[name].evaluation, runs[first].evaluation)):
                table.add_row(f"  minus {first}", *_cells(gained, places[what]), style="dim")
        table.add_section()
    return table


def _is_classification(evaluation: Mapping[str, Any]) -> bool:
    """Tell classifications from tasks."""
    return evaluation["task"] in ("classification", "few-shot")


def _shown(run: Compared) -> list[Figures]:
    """Return the figures that a table has room for: of a task, as in training and from the largest sizes of it on."""
    found = figures_of(run.evaluation)
    if _is_classification(run.evaluation):
        return found
    settings = [result["setting"] for result in run.evaluation["results"]]
    beyond = [all(size >= run.trained[name] for name, size in setting.items()) for setting in settings]
    return [figure for figure, kept in zip(found, beyond, strict=True) if kept]


def _two_lines(column: str) -> str:
    """Return the name of a column on two lines."""
    head, _, tail = column.partition(", ") if ", " in column else column.rpartition(" ")
    return f"{head}\n{tail}"


def _cells(figures: Sequence[Figures], places: Sequence[str]) -> list[str]:
    """Return the cells of a row, empty where there is no figure."""
    by_place = {figure.at: figure for figure in figures}
    return [_cell(by_place[place]) if place in by_place else "" for place in places]


def _cell(figure: Figures) -> str:
    """Return a figure above its interval."""
    if figure.name == "difference":
        return f"{100 * figure.value:+.1f}\n{100 * figure.low:+.1f} to {100 * figure.high:+.1f}"
    if figure.name == "accuracy":
        return f"{100 * figure.value:.1f}\n{100 * figure.low:.1f}-{100 * figure.high:.1f}"
    return f"{figure.value:.3g}\n{figure.low:.3g}-{figure.high:.3g}"


def plot_comparison(runs: Mapping[str, Compared]) -> Figure:
    """Return a figure of a row for all that was learned: what runs can do, and how training went."""
    found = groups(runs)
    rows = [(what, sweep) for what in found for sweep in SWEEPS.get(what, (None,))]
    figure, plots = plots_below(len(rows), 2)
    for place, (what, sweep) in enumerate(rows):
        left, right = plots[2 * place : 2 * place + 2]
        group = found[what]
        evaluations = {name: run.evaluation for name, run in group.items()}
        metrics = {name: run.metrics for name, run in group.items()}
        first = next(iter(group.values()))
        if _is_classification(first.evaluation):
            (draw_few_shot if first.evaluation["task"] == "few-shot" else draw_instances)(left, evaluations)
            draw_second_instance(right, metrics)
        else:
            if sweep is None:
                left.set_visible(False)
            else:
                draw_sizes(left, sweep, evaluations, first.trained[sweep.size])
            draw_task_training(right, what, metrics)
        for axes in (left, right):
            if axes.get_legend_handles_labels()[0]:  # some tasks have no sizes, some runs no accuracy while training
                axes.legend(frameon=False, fontsize=8)
    return figure


def write_run_comparison(folder: Path, runs: Mapping[str, Compared]) -> list[Path]:
    """Write comparison.csv and comparison.png; returns their paths.

    Differences are those to the first run that learned the same.
    """
    paths = [folder / "comparison.csv", folder / "comparison.png"]
    firsts = {what: next(iter(group)) for what, group in groups(runs).items()}
    rows = []
    for name, run in runs.items():
        what, figures = learned(run.evaluation), figures_of(run.evaluation)
        if name != firsts[what]:
            figures += differences(run.evaluation, runs[firsts[what]].evaluation)
        rows += [{"learned": what, "run": name, **figure._asdict()} for figure in figures]
    write_csv(paths[0], ("learned", "run", *Figures._fields), rows)
    write_picture(plot_comparison(runs), paths[1])
    return paths
