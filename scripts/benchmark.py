"""Compare: python scripts/benchmark.py addressing [options]."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from commands import one_line_errors, parse, progress_bar
from rich.console import Console
from rich.markdown import Markdown

from data import DATASETS, InputError
from episodes import TASKS
from mann.addressing import SCHEMES
from mann.benchmark.addressing import FULL, QUICK, cells, markdown, summarise, write_comparison
from mann.benchmark.cells import run_cells

DESCRIPTION = """Compare ways of addressing memory: every scheme on every task, with several seeds.

  benchmark.py addressing --quick                             everything, small: a few minutes
  benchmark.py addressing --schemes lrua,ntm --tasks copy     some of it
  benchmark.py addressing --dask tcp://HOST:8786              on the workers of a dask scheduler

Each training is a run in the folder (--out). What is done is not done again, what was stopped goes on: repeat the
command after whatever stopped it, or with more seeds. The table and the picture are written there at the end.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    schemes: str = "all"
    """Schemes, with commas between them, or all."""
    tasks: str = "copy,associative-recall,omniglot"
    """Tasks and data sets, with commas between them."""
    seeds: int | None = None
    """How many seeds: 0, 1, ... (none: 3, or 1 with --quick)."""
    quick: bool = False
    """Small networks, short trainings: too short to learn much, enough to see that everything runs."""
    root: Path | None = None
    """Folder with the images, if they are not to be downloaded."""
    jobs: int = os.cpu_count() or 1
    """Trainings at a time on this machine; the cores are shared out among them."""
    dask: str | None = None
    """Address of a dask scheduler, whose workers do the training instead."""
    out: Path = Path("runs/addressing")
    """Folder for the runs and the comparison."""


def chosen(said: str, everything: list[str]) -> list[str]:
    """Return the names said with commas between them, each once."""
    return everything if said == "all" else list(dict.fromkeys(name.strip() for name in said.split(",")))


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    if not arguments or arguments[0].startswith("-"):
        if not set(arguments) & {"-h", "--help"}:
            raise InputError("no benchmark is named: python scripts/benchmark.py addressing")
    elif arguments[0] != "addressing":
        raise InputError(f"no benchmark is named {arguments[0]!r}: use addressing")
    else:
        arguments = arguments[1:]
    options = parse(Options, arguments, prog="benchmark.py addressing", description=DESCRIPTION)
    if options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: at least 1 is needed")
    todo = cells(
        options.out,
        chosen(options.schemes, list(SCHEMES)),
        chosen(options.tasks, [*TASKS, *DATASETS]),
        options.seeds if options.seeds is not None else 1 if options.quick else 3,
        QUICK if options.quick else FULL,
        options.root,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    with progress_bar() as bar:
        task = bar.add_task("trainings", total=len(todo))
        results = run_cells(todo, options.jobs, options.dask, lambda done: bar.update(task, completed=done))
    Console().print(Markdown(markdown(summarise(results))))
    for path in write_comparison(options.out, results):
        print(path)
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
