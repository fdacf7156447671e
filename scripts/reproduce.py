"""Rebuild the papers' tables, row by row: python scripts/reproduce.py ROW ... [options]."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import tyro
from commands import caught_signals, one_line_errors, parse
from evaluate import print_whole
from rich import box
from rich.table import Table

from data import InputError
from mann.papers.recipes import (
    PAPERS,
    Recipes,
    Row,
    chosen,
    evaluation_arguments,
    run_folder,
    seeds_of,
    small,
    source_of,
    training_arguments,
)
from mann.papers.results import read_results, result_from_json, result_path, write_page
from mann.runs.run import Run
from mann.support.files import write_text

SCRIPTS = Path(__file__).resolve().parent

DESCRIPTION = """Rebuild the papers' tables, row by row: a training (train.py) and an evaluation (evaluate.py) a seed.

  reproduce.py --list                       the rows, how long they take, what is done
  reproduce.py one-hot-5-mann --seeds 0     a row, a seed of it
  reproduce.py strings-15                   all rows of a table
  reproduce.py all --root DIR               everything; DIR: where Omniglot is, if it is not to be downloaded
  reproduce.py all --smoke                  everything, tiny and with the built-in characters: does it run?
  reproduce.py --write                      docs/results.md once more, from what is stored

What is done is not done again. What was stopped, by Ctrl-C or worse, goes on where it was: repeat the command. Results
go to docs/results/ROW/seed-SEED.json, and docs/results.md is written after each. The first seed of all rows comes
first, so that there is a whole table soon. mann/recipes.py holds the rows: to add one, add it there.

With other work on the machine, or for several of these commands side by side, set OMP_NUM_THREADS=1.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    rows: tyro.conf.Positional[tuple[str, ...]] = ()
    """Rows by name, tables by name (all their rows), or all."""
    seeds: tuple[int, ...] = ()
    """Seeds (none: those of the row). Rows for which nothing is trained have none."""
    list: bool = False
    """Say which rows there are, and do nothing."""
    write: bool = False
    """Write docs/results.md and its picture, and do nothing else if no row is named."""
    smoke: bool = False
    """Two training steps on the built-in characters, into the folder smoke of --runs: the figures mean nothing."""
    root: Path | None = None
    """Folder with Omniglot's images (none: download them)."""
    runs: Path = Path("runs/reproduce")
    """Folder for the runs."""
    docs: Path = SCRIPTS.parent / "docs"
    """Folder of results.md and results/."""


def run(script: str, arguments: Sequence[str]) -> int:
    """Run one of the commands in a process of its own; returns its exit status, or 128 and the signal's number.

    Told to stop, it stops as it would by itself, and so does this.
    """
    with caught_signals() as caught, subprocess.Popen([sys.executable, str(SCRIPTS / script), *arguments]) as process:
        told = False
        while process.poll() is None:
            time.sleep(0.1)
            # Ctrl-C goes to both, from the terminal; SIGTERM to one.
            if caught() == signal.SIGTERM and not told:
                process.terminate()
                told = True
    if caught():
        return 128 + caught()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def reproduce(recipes: Recipes, name: str, seed: int, options: Options) -> int:
    """Make the result of a row and a seed, unless it is there; returns the exit status."""
    row, path = recipes.rows[name], result_path(options.docs / "results", name, seed)
    if path.exists():
        print(f"{path} is there already")
        return 0
    print(f"{name}, seed {seed}", flush=True)
    folder = run_folder(recipes, name, seed, options.runs)
    for trained in filter(None, (source_of(row), name)):
        if status := run("train.py", training_arguments(recipes, trained, seed, options.runs, options.root)):
            return status
    if status := run("evaluate.py", evaluation_arguments(row, folder, options.root)):
        return status
    found = (folder / row.written).read_text(encoding="utf-8")
    result_from_json(found.encode(), str(folder / row.written), recipes.tables[row.table], row, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, found)
    print(path)
    write_page(options.docs, recipes)
    return 0


def lacks(row: Row) -> bool:
    """Return whether a row takes a package that is not installed."""
    return bool(row.needs) and find_spec(row.needs) is None


def overview(recipes: Recipes, options: Options) -> Table:
    """Return a table of the rows: how long they take, and what is done."""
    results = read_results(options.docs / "results", recipes)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("row", "table", "minutes\na seed"):
        table.add_column(heading, no_wrap=True, justify="right" if "minutes" in heading else "left")
    table.add_column("seeds\ndone", no_wrap=True)
    table.add_column("in progress", no_wrap=True)
    left: dict[Path, int] = {}
    for name, row in recipes.rows.items():
        missing = [seed for seed in seeds_of(row, options.seeds) if seed not in results[name]]
        folders = {seed: run_folder(recipes, name, seed, options.runs) for seed in missing}
        left |= dict.fromkeys(folders.values(), row.minutes)
        if source := source_of(row):
            sources = [seed for seed in missing if seed not in results[source]]
            left |= {run_folder(recipes, source, seed, options.runs): recipes.rows[source].minutes for seed in sources}
        shares = {seed: _share_done(Run(folder)) for seed, folder in folders.items()}
        table.add_row(
            name,
            recipes.tables[row.table].title,
            str(row.minutes),
            " ".join(map(str, results[name])) or "-",
            ", ".join(f"seed {seed}: {share:.0%}" for seed, share in shares.items() if share is not None),
        )
    table.caption = (
        "minutes: on two free cores, about; rows with the same training share it.\n"
        f"What is not done takes {sum(left.values()) / 60:.0f} hours, about."
    )
    return table


def _share_done(run: Run) -> float | None:
    """Return how much of a training is done; None if it was not started."""
    return run.steps_done() / run.config().steps if run.exists() else None


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="reproduce.py", description=DESCRIPTION)
    recipes = PAPERS
    if options.smoke:
        recipes, folder = small(PAPERS), options.runs / "smoke"
        options = replace(options, runs=folder, docs=folder / "docs")
    if options.list:
        print_whole(overview(recipes, options))
        return 0
    names = chosen(recipes, options.rows)
    if not names and not options.write:
        raise InputError("no row is named: python scripts/reproduce.py ROW, with ROW one of --list, a table, or all")
    left_out = [name for name in names if name not in options.rows and lacks(recipes.rows[name])]
    names = [name for name in names if name not in left_out]
    for name in left_out:
        print(f"{name} is left out: it needs {recipes.rows[name].needs}, see docs/one-shot.md", file=sys.stderr)
    read_results(options.docs / "results", recipes)  # what is wrong with one is said before the work begins
    seeds = {name: seeds_of(recipes.rows[name], options.seeds) for name in names}
    for seed in sorted({seed for some in seeds.values() for seed in some}):
        for name in (name for name in names if seed in seeds[name]):
            if status := reproduce(recipes, name, seed, options):
                print("stopped; the same command goes on where it was", file=sys.stderr)
                return status
    (options.docs / "results").mkdir(parents=True, exist_ok=True)
    for path in write_page(options.docs, recipes):
        print(path)
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
