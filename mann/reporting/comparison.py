"""Several runs side by side: one table and one picture for runs of all kinds.

Runs of the same problem are compared with each other: classification runs with the same data, classes, labels and
measure (accuracy by instance, or N-way K-shot), or runs of the same task.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from mann.evaluation.figures import (
    ComparedFigure,
    differences,
    figures_of,
)
from mann.evaluation.task_costs import SWEEPS
from mann.reporting.accuracy import draw_instances, draw_second_instance, variant
from mann.reporting.few_shot_table import draw_few_shot
from mann.reporting.pictures import write_csv, write_picture
from mann.reporting.style import plot_grid
from mann.reporting.task_figures import draw_sizes, draw_task_training


class EvaluatedRun(NamedTuple):
    """The results of a run.

    Attributes:
        evaluation: The content of evaluation.json, or of few-shot.json.
        metrics: The lines of metrics.jsonl.
        trained: The largest sizes of the training, by name; empty for classification runs.
    """

    evaluation: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    trained: Mapping[str, int]


def problem_of(evaluation: Mapping[str, Any]) -> str:
    """Return the problem of a run as text: runs of the same problem are compared with each other."""
    if not _is_classification(evaluation):
        return evaluation["task"]
    few_shot = evaluation["task"] == "few-shot"
    classes = f"{evaluation['queries']} queries" if few_shot else f"{evaluation['classes']} classes"
    return f"{evaluation['dataset']}, {classes}, {evaluation['labels']}, {evaluation['split']}{variant(evaluation)}"


def by_problem(runs: Mapping[str, EvaluatedRun]) -> dict[str, dict[str, EvaluatedRun]]:
    """Return the runs by problem, then by name."""
    found: dict[str, dict[str, EvaluatedRun]] = {}
    for name, run in runs.items():
        found.setdefault(problem_of(run.evaluation), {})[name] = run
    return found


def comparison_table(runs: Mapping[str, EvaluatedRun]) -> Table:
    """Return a table of all runs, with a section for each problem; intervals are 95%."""
    table = Table(
        title="Runs side by side; below each value its 95% interval",
        caption="minus: the difference to the first run on the same episodes, with its paired interval",
        box=box.SIMPLE,
        show_header=False,
    )
    tables = {
        problem: {name: _table_figures(run) for name, run in group.items()}
        for problem, group in by_problem(runs).items()
    }
    places = {
        problem: list(dict.fromkeys(figure.at for figures in group.values() for figure in figures))
        for problem, group in tables.items()
    }
    table.add_column(no_wrap=True)
    for _ in range(max(map(len, places.values()))):
        table.add_column(no_wrap=True, justify="right")
    for problem, group in tables.items():
        unit = "accuracy, %" if next(iter(group.values()))[0].name == "accuracy" else "cost"
        table.add_row(f"{problem}:\n{unit}", *(_two_lines(place) for place in places[problem]), style="bold")
        first, *_ = group
        for name, figures in group.items():
            table.add_row(name, *_cells(figures, places[problem]))
            if name != first and (gained := differences(runs[name].evaluation, runs[first].evaluation)):
                table.add_row(f"  minus {first}", *_cells(gained, places[problem]), style="dim")
        table.add_section()
    return table


def _is_classification(evaluation: Mapping[str, Any]) -> bool:
    """Return whether an evaluation is of a classification run, not of a task run."""
    return evaluation["task"] in ("classification", "few-shot")


def _table_figures(run: EvaluatedRun) -> list[ComparedFigure]:
    """Return the figures for the table: for a task, only those at sizes from the largest of the training on."""
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


def _cells(figures: Sequence[ComparedFigure], places: Sequence[str]) -> list[str]:
    """Return the cells of a row, empty where there is no figure."""
    by_place = {figure.at: figure for figure in figures}
    return [_cell(by_place[place]) if place in by_place else "" for place in places]


def _cell(figure: ComparedFigure) -> str:
    """Return a value with its interval below it."""
    if figure.name == "difference":
        return f"{100 * figure.value:+.1f}\n{100 * figure.low:+.1f} to {100 * figure.high:+.1f}"
    if figure.name == "accuracy":
        return f"{100 * figure.value:.1f}\n{100 * figure.low:.1f}-{100 * figure.high:.1f}"
    return f"{figure.value:.3g}\n{figure.low:.3g}-{figure.high:.3g}"


def plot_comparison(runs: Mapping[str, EvaluatedRun]) -> Figure:
    """Return a figure with a row for each problem: results on the left, training curves on the right."""
    found = by_problem(runs)
    rows = [(problem, sweep) for problem in found for sweep in SWEEPS.get(problem, (None,))]
    figure, plots = plot_grid(len(rows), 2)
    for place, (problem, sweep) in enumerate(rows):
        left, right = plots[2 * place : 2 * place + 2]
        group = found[problem]
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
            draw_task_training(right, problem, metrics)
        for axes in (left, right):
            if axes.get_legend_handles_labels()[0]:  # some tasks have no sizes, some runs no accuracy while training
                axes.legend(frameon=False, fontsize=8)
    return figure


def write_run_comparison(folder: Path, runs: Mapping[str, EvaluatedRun]) -> list[Path]:
    """Write comparison.csv and comparison.png, and return their paths.

    Differences are differences to the first run of the same problem.
    """
    paths = [folder / "comparison.csv", folder / "comparison.png"]
    firsts = {problem: next(iter(group)) for problem, group in by_problem(runs).items()}
    rows = []
    for name, run in runs.items():
        problem, figures = problem_of(run.evaluation), figures_of(run.evaluation)
        if name != firsts[problem]:
            figures += differences(run.evaluation, runs[firsts[problem]].evaluation)
        rows += [{"problem": problem, "run": name, **figure._asdict()} for figure in figures]
    write_csv(paths[0], ("problem", "run", *ComparedFigure._fields), rows)
    write_picture(plot_comparison(runs), paths[1])
    return paths
