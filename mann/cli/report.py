"""Everything about a run on one page: `report RUN [options]`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tyro

from mann.cli.command_line import parse
from mann.reporting.html import write_html_report
from mann.runs import Run

DESCRIPTION: Final = """Write everything about a run to one HTML file, which loads nothing and can be sent as it is.

  report.py runs/omniglot          runs/omniglot/report.html

It has the results beside the papers', the course of the training, the use of memory in a test sequence, step by step,
and every setting. Evaluate the run first (evaluate.py): otherwise the report has no results, and says so. Reports of
runs on images contain a few of these images.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path | None = None
    """The file to write (none: report.html in the folder of the run)."""
    root: Path | None = None
    """Folder with the data, if it is not where it was in training."""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="report.py", description=DESCRIPTION)
    path = options.out or options.run / "report.html"
    write_html_report(Run(options.run), path, options.root)
    print(path)
    return 0
