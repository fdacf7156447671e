"""The files of a comparison: everything as JSON, the figures as CSV and as a table, pictures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from mann.reporting.pictures import write_csv, write_picture
from mann.support.files import write_text

SPREADS: Final = ("milliseconds", "ratio")
"""The entries of a row that are a median with a low and a high end."""


def write_benchmark(
    folder: Path,
    name: str,
    content: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    table: str,
    figures: Mapping[str, Figure],
) -> list[Path]:
    """Write a comparison into a folder; returns the paths of its files.

    Args:
        folder: The folder, which exists.
        name: The stem of the files NAME.json, NAME.csv and NAME.md.
        content: Content of the JSON file.
        lines: Lines of the CSV file; all have the same keys, which are its columns.
        table: The table, as Markdown.
        figures: Pictures, by the stems of their PNG files.
    """
    paths = [folder / f"{name}.{kind}" for kind in ("json", "csv", "md")]
    write_text(paths[0], json.dumps(content, indent=2) + "\n")
    write_csv(paths[1], list(lines[0]), lines)
    write_text(paths[2], table)
    for stem, figure in figures.items():
        paths.append(folder / f"{stem}.png")
        write_picture(figure, paths[-1])
    return paths


def spread_text(spread: Mapping[str, float] | None, form: str) -> str:
    """Return a median and its range as text; a dash for None.

    >>> spread_text({"median": 2.0, "low": 1.5, "high": 2.5}, "{:.1f}")
    '2.0 (1.5-2.5)'
    """
    if spread is None:
        return "-"
    low, median, high = (form.format(spread[name]) for name in ("low", "median", "high"))
    return median if low == high else f"{median} ({low}-{high})"


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as a line of a CSV file: a column for the median and each end of a spread, empty for None."""
    line: dict[str, Any] = {}
    for key, value in row.items():
        if key in SPREADS:
            line |= {f"{key}_{end}": value and value[end] for end in ("median", "low", "high")}
        else:
            line[key] = value
    return line
