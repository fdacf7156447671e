"""Files of a report."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mann.support.files import whole

DPI = 150
"""Dots to the inch of pictures."""


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under a header; a value that a row lacks is left empty."""
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_picture(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
