"""Files of a report: each is whole or not there."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

DPI = 150
"""Dots to the inch of pictures."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, renamed to `path` at the end, removed after an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
