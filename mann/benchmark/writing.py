"""What a benchmark leaves in its folder: everything as JSON, the figures as CSV and as a table, a picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mann.reporting.pictures import write_csv, write_picture
from mann.support.files import write_text


def write_benchmark(
    folder: Path,
    name: str,
    content: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    table: str,
    figures: Mapping[str, Figure],
) -> list[Path]:
    """Write a benchmark into a folder; returns the paths.

    Args:
        folder: Where to.
        name: Of the files NAME.json, NAME.csv and NAME.md.
        content: For the JSON file.
        lines: For the CSV file; all have the same keys.
        table: Markdown.
        figures: By the name of their file, without its ending.
    """
    paths = [folder / f"{name}.{kind}" for kind in ("json", "csv", "md")]
    write_text(paths[0], json.dumps(content, indent=2) + "\n")
    write_csv(paths[1], list(lines[0]), lines)
    write_text(paths[2], table)
    for stem, figure in figures.items():
        paths.append(folder / f"{stem}.png")
        write_picture(figure, paths[-1])
    return paths


def shown(spread: Mapping[str, float] | None, form: str) -> str:
    """Return a median and its range as text; a dash where there is none."""
    if spread is None:
        return "-"
    low, median, high = (form.format(spread[name]) for name in ("low", "median", "high"))
    return median if low == high else f"{median} ({low}-{high})"


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for the CSV file: a column for each end of a spread, also where there is none."""
    line: dict[str, Any] = {}
    for key, value in row.items():
        if key in SPREADS:
            line |= {f"{key}_{end}": value and value[end] for end in ("median", "low", "high")}
        else:
            line[key] = value
    return line


SPREADS = ("milliseconds", "ratio")
"""What rows have a median, a low and a high of."""
