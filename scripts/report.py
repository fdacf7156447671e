"""Everything about a run on one page: python scripts/report.py RUN [options]."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from commands import one_line_errors, parse

from mann.reporting.html import write_html_report
from mann.runs.run import Run

DESCRIPTION = """Write everything about a run to one HTML file, which loads nothing and can be sent as it is.

  report.py runs/omniglot          runs/omniglot/report.html

It shows what the run can do beside the papers, how training went, what memory did in a test sequence, step by step,
and every setting. Evaluate the run first (evaluate.py): without that the report says so, and shows the rest. Reports of
runs on images hold a few of these images.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    out: Path | None = None
    """The file to write (none: report.html in the folder of the run)."""
    root: Path | None = None
    """Where the data lie, if not where they were in training."""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="report.py", description=DESCRIPTION)
    path = options.out or options.run / "report.html"
    write_html_report(Run(options.run), path, options.root)
    print(path)
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
