"""N-way K-shot accuracy: table and plot, apart from accuracy by instance, which is another measure."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from rich import box
from rich.table import Table

from mann.evaluation.figures import few_shot_name
from mann.evaluation.intervals import estimate_of
from mann.reporting.accuracy import variant
from mann.reporting.style import colour, draw_estimates, percent, set_accuracy_axis

CAPTION = (
    "the support set is presented in order, then each query by itself from the same state;\n"
    "not comparable with accuracy by instance"
)


def few_shot_table(evaluation: Mapping[str, Any], model: str = "") -> Table:
    """Return a table of N-way K-shot accuracies in percent.

    Args:
        evaluation: The content of few-shot.json.
        model: A description of the model, if it is not the run's network.
    """
    lines = (
        f"N-way K-shot accuracy: {evaluation['dataset']}, {evaluation['split']} classes",
        f"{evaluation['episodes']} episodes{variant(evaluation)}, {evaluation['queries']} queries of each class, "
        f"labels: {evaluation['labels']}",
        model,
    )
    heading = "\n".join(filter(None, lines))
    table = Table(
        title=heading,
        caption=CAPTION,
        min_width=max(len(line) for line in (*heading.splitlines(), *CAPTION.splitlines())),
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    for name in ("ways", "shots", "accuracy\n%", "95%\ninterval", "chance\n%", "queries"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in evaluation["results"]:
        table.add_row(
            str(result["ways"]),
            str(result["shots"]),
            percent(result["accuracy"]),
            f"{percent(result['low'])}-{percent(result['high'])}",
            percent(1 / result["ways"]),
            str(result["observations"]),
        )
    return table


def draw_few_shot(axes: Axes, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the N-way K-shot accuracies of several runs with 95% intervals.

    Args:
        axes: Where to draw.
        evaluations: The content of few-shot.json by the name of the run.
    """
    names = dict.fromkeys(few_shot_name(result) for found in evaluations.values() for result in found["results"])
    places = {name: place for place, name in enumerate(names)}
    for number, (name, evaluation) in enumerate(evaluations.items()):
        results = evaluation["results"]
        shift = 0.5 * ((number + 0.5) / len(evaluations) - 0.5)
        draw_estimates(
            axes,
            [places[few_shot_name(result)] + shift for result in results],
            list(map(estimate_of, results)),
            fmt="o",
            color=colour(number),
            capsize=3,
            label=f"{name}, 95% interval",
        )
    set_accuracy_axis(axes)
    axes.set_xticks(list(places.values()), list(places))
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_title("N-way K-shot accuracy", fontsize=10)
