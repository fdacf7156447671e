"""N-way K-shot accuracy: a table of its own, since it is another measure than accuracy by instance."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from mann.reporting.instances import variant
from mann.reporting.style import percent

CAPTION = "the support set shown in order, then each query by itself from the same state;\nnot accuracy by instance"


def few_shot_table(evaluation: Mapping[str, Any], model: str = "") -> Table:
    """Return N-way K-shot accuracies in percent.

    evaluation: the content of few-shot.json; model: what was measured, if not the run's network.
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
