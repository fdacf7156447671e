"""Writing the CSV files and PNG pictures of a report."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mann.support.files import whole

DPI = 150
"""Resolution of pictures, in dots per inch."""


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file with a header; missing values are left empty."""
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file."""
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
