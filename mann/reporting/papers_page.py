"""The page of the papers' tables beside ours (docs/results.md), and its picture, from stored results alone."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mann.evaluation.figures import few_shot_name, ordinal
from mann.evaluation.intervals import Estimate
from mann.papers.commands import evaluation_arguments, training_arguments
from mann.papers.published import Published
from mann.papers.recipes import Recipes, Row, Table
from mann.papers.results import Result, Results, mean_differences, mean_figures, read_results, result_path
from mann.reporting.pictures import write_picture
from mann.reporting.style import colour, draw_estimates, percent, plot_grid, set_accuracy_axis
from mann.support.files import write_text

PICTURE = "instances.png"
"""The picture, in the folder of results."""

HEAD = """# The papers' tables, and ours

Made by `python scripts/reproduce.py --write` from the files in [results/](results), which hold the commands, the
machine and the commit; nothing here is written by hand. [one-shot.md](one-shot.md) says how accuracy is measured, and
where we depart from the paper.

Figures are accuracies in % on Omniglot's test characters. Ours: the mean over seeds, in brackets its 95% interval,
which covers the choice of test episodes and, where there are several seeds, that of the seed. Difference: ours minus
the paper's, in points. Minus another row of ours: in points too, seed by seed on the very same episodes, with the
interval of the differences. Rows that have the paper's figures alone are not made by a recipe.

The tables by instance and those of N-way K-shot are two measures, and cannot be compared with each other.
"""


def page(recipes: Recipes, results: Results) -> str:
    """Return the page, as Markdown."""
    lines = [HEAD]
    if _pictured(recipes, results):
        lines += [f"![Accuracy by instance, of all models](results/{PICTURE})", ""]
    for name, table in recipes.tables.items():
        rows = {key: row for key, row in recipes.rows.items() if row.table == name}
        lines += [f"## {table.title}", "", *_markdown(table, rows, results), ""]
    lines += ["## How each row is made", "", *_making(recipes, results)]
    return "\n".join(lines) + "\n"


def paper_of(table: Table, row: Row) -> Published | None:
    """Return the paper's row that a row stands beside."""
    named = ((paper.model, paper.controller) for paper in table.published)
    return dict(zip(named, table.published, strict=True)).get((row.model, row.controller))


def _markdown(table: Table, rows: Mapping[str, Row], results: Results) -> Iterator[str]:
    """Yield the lines of a table: the paper's rows with ours below each, then those that no paper has."""
    columns = map(ordinal, table.columns) if table.ways is None else (f"{shots}-shot" for shots in table.columns)
    yield _line(["model", "", *columns, "seeds"])
    yield "|---" * (len(table.columns) + 3) + "|"
    ours = {name: paper_of(table, row) for name, row in rows.items()}
    for paper in table.published:
        yield _line([_model(paper), "paper", *(percent(paper.accuracies.get(at)) for at in table.columns), ""])
        for name, beside in ours.items():
            if beside is paper:
                yield from _our_lines("", table, paper, results[name])
                yield from _minus(table, name, rows, results)
    for name, beside in ours.items():
        if beside is None:
            yield from _our_lines(_model(rows[name]), table, None, results[name])
            yield from _minus(table, name, rows, results)


def _model(row: Published | Row) -> str:
    """Return the name of a row in a table."""
    return ", ".join(filter(None, (row.model, row.controller)))


def _our_lines(model: str, table: Table, paper: Published | None, results: Mapping[int, Result]) -> Iterator[str]:
    """Yield our line of a row, and the difference to the paper's."""
    if not results:
        yield _line([model, "ours", "not measured yet", *[""] * len(table.columns)])
        return
    found = mean_figures(results)
    yield _line([model, "ours", *(_cell(found.get(at)) for at in table.columns), _seeds(results)])
    if paper is not None:
        apart = (
            f"{100 * (found[at].value - paper.accuracies[at]):+.1f}" if at in found and at in paper.accuracies else ""
            for at in table.columns
        )
        yield _line(["", "difference", *apart, ""])


def _minus(table: Table, name: str, rows: Mapping[str, Row], results: Results) -> Iterator[str]:
    """Yield the line of the difference to the row that the table compares with, where the episodes were the same."""
    if table.reference in ("", name):
        return
    gained = mean_differences(results[name], results[table.reference])
    if gained:
        shared = len(results[name].keys() & results[table.reference].keys())
        places = [_place(table, at) for at in table.columns]
        cells = (_signed(gained[place]) if place in gained else "" for place in places)
        yield _line(["", f"minus {_model(rows[table.reference])}", *cells, _counted(shared)])


def _place(table: Table, at: int) -> str:
    """Return the name of a column in `differences`."""
    return ordinal(at) if table.ways is None else few_shot_name({"ways": table.ways, "shots": at})


def _signed(estimate: Estimate) -> str:
    """Return a difference and its interval in points."""
    value, low, high = (f"{100 * part:+.1f}" for part in estimate)
    return f"{value} ({low} to {high})"


def _seeds(results: Mapping[int, Result]) -> str:
    """Return the number of seeds, for the last column."""
    if all(result.minutes is None for result in results.values()):
        return "nothing is trained"
    return _counted(len(results))


def _counted(seeds: int) -> str:
    """Return a number of seeds as text."""
    return "single seed" if seeds == 1 else str(seeds)


def _cell(estimate: Estimate | None) -> str:
    """Return a figure and its interval in percent."""
    if estimate is None:
        return ""
    return f"{percent(estimate.value)} ({percent(estimate.low)}-{percent(estimate.high)})"


def _making(recipes: Recipes, results: Results) -> Iterator[str]:
    """Yield the lines of the table of recipes."""
    yield "`python scripts/reproduce.py ROW` makes a row. Minutes of a seed: expected on two free cores, and taken by"
    yield "the stored trainings, beside other work. Rows with the same training share it."
    yield ""
    yield _line(["row", "scripts/train.py", "scripts/evaluate.py RUN", "expected", "took", "seeds", "commits"])
    yield "|---" * 7 + "|"
    for name, row in recipes.rows.items():
        found = results[name]
        minutes = [result.minutes for result in found.values() if result.minutes is not None]
        commits = dict.fromkeys(commit or "unknown" for result in found.values() for commit in result.commits)
        yield _line(
            [
                f"`{name}`",
                f"`{' '.join(_training(row))}`",
                f"`{' '.join(arguments)}`" if (arguments := evaluation_arguments(row.evaluation)) else "",
                str(row.minutes),
                f"{statistics.fmean(minutes):.0f}" if minutes else "",
                ", ".join(f"[{seed}]({result_path(Path('results'), name, seed).as_posix()})" for seed in found),
                ", ".join(commits),
            ]
        )


def _training(row: Row) -> list[str]:
    """Return the arguments of a row's training, with the name of a row in place of its run."""
    source = ["--encoder-from", row.encoder_of] if row.encoder_of else []
    return [*training_arguments(row.training), *source]


def _line(cells: Sequence[str]) -> str:
    """Return a line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def plot(recipes: Recipes, results: Results) -> Figure | None:
    """Return a figure of the accuracy by instance of all models, a plot for each table; None if there is no result."""
    tables = _pictured(recipes, results)
    if not tables:
        return None
    figure, plots = plot_grid(len(tables))
    for axes, (name, table) in zip(plots, tables.items(), strict=True):
        _draw(axes, table, {key: row for key, row in recipes.rows.items() if row.table == name}, results)
    return figure


def _pictured(recipes: Recipes, results: Results) -> dict[str, Table]:
    """Return the tables by instance that have results, by name."""
    measured = {row.table for name, row in recipes.rows.items() if results[name]}
    return {name: table for name, table in recipes.tables.items() if name in measured and table.ways is None}


def _draw(axes: Axes, table: Table, rows: Mapping[str, Row], results: Results) -> None:
    """Draw a table: our means over seeds as lines, the paper's figures as open points of the same colour."""
    for number, (name, row) in enumerate(rows.items()):
        if not results[name]:
            continue
        found, paper = mean_figures(results[name]), paper_of(table, row)
        label = _model(row)
        draw_estimates(
            axes,
            list(found),
            list(found.values()),
            color=colour(number),
            marker="o",
            markersize=4,
            linewidth=1.5,
            capsize=2,
            label=label,
        )
        if paper is not None:
            axes.plot(
                list(paper.accuracies),
                list(paper.accuracies.values()),
                "D",
                color=colour(number),
                markerfacecolor="white",
                markeredgewidth=1.5,
                label=f"{label} (paper)",
            )
    axes.set_title(f"{table.title}; means over seeds, 95% intervals", fontsize=10)
    set_accuracy_axis(axes)
    axes.set_xlabel("instance: how often the class has been presented in the episode, this time included")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20))
    axes.xaxis.set_major_formatter(lambda value, _: ordinal(round(value)))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def write_page(docs: Path, recipes: Recipes) -> list[Path]:
    """Write results.md and its picture into a folder whose `results` are read; returns their paths.

    Raises:
        InputError: a result is damaged, or was not made as its recipe says.
    """
    results = read_results(docs / "results", recipes)
    written = []
    if (figure := plot(recipes, results)) is not None:
        written.append(docs / "results" / PICTURE)
        write_picture(figure, written[-1])
    written.append(docs / "results.md")
    write_text(written[-1], page(recipes, results))
    return written
