"""Rebuild the papers' tables, row by row: `reproduce ROW ... [options]`."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import tyro
from rich import box
from rich.table import Table

import mann
from data import InputError
from mann.cli.command_line import parse
from mann.cli.console import caught_signals, print_whole
from mann.papers.commands import evaluation_arguments, place_arguments, training_arguments
from mann.papers.recipes import PAPERS, Recipes, Row
from mann.papers.results import read_results, result_from_json, result_path
from mann.papers.row_runs import chosen, run_folder, run_settings, seeds_of, small
from mann.reporting.papers_page import write_page
from mann.runs import Run
from mann.support.files import write_text

REPOSITORY: Final = Path(mann.__file__).resolve().parents[1]

DESCRIPTION: Final = """Rebuild the papers' tables, row by row: for each seed a training and an evaluation.

  reproduce.py --list                       the rows, their minutes, and the seeds that are done
  reproduce.py one-hot-5-mann --seeds 0     a row, one seed of it
  reproduce.py strings-15                   all rows of a table
  reproduce.py all --root DIR               everything; DIR: the folder with Omniglot, if it is not to be downloaded
  reproduce.py all --smoke                  everything, tiny and with the built-in characters: does it run?
  reproduce.py --write                      rewrite docs/results.md from the stored results

A result that is stored is not made again. A training that was stopped, even by a kill, continues when the command is
repeated. Results are stored as docs/results/ROW/seed-SEED.json, and docs/results.md is written after each. The
first seed of all rows comes first, so that there is a whole table soon. mann/papers/recipes.py holds the rows: add a
row there.

With other work on the machine, or for several of these commands side by side, set OMP_NUM_THREADS=1.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    rows: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of rows, names of tables (all their rows), or all."""
    seeds: tuple[int, ...] = ()
    """Seeds (none: those of the row). Rows for which nothing is trained have none."""
    list: bool = False
    """Print the rows, and do nothing else."""
    write: bool = False
    """Write docs/results.md and its picture, and do nothing else if no row is named."""
    smoke: bool = False
    """Two training steps on the built-in characters, into the folder smoke of --runs: the figures mean nothing."""
    root: Path | None = None
    """Folder with Omniglot's images (none: download them)."""
    runs: Path = Path("runs/reproduce")
    """Folder for the runs."""
    docs: Path = REPOSITORY / "docs"
    """Folder of results.md and results/."""


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
    names = _available(recipes, names, options.rows)
    read_results(options.docs / "results", recipes)  # refuses a damaged result before the work begins
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


def _available(recipes: Recipes, names: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Return the rows that can be made; rows that lack a package are left out, unless they were named."""
    left_out = [name for name in names if name not in asked and _lacks_package(recipes.rows[name])]
    for name in left_out:
        print(f"{name} is left out: it needs {recipes.rows[name].needs}, see docs/one-shot.md", file=sys.stderr)
    return [name for name in names if name not in left_out]


def _lacks_package(row: Row) -> bool:
    """Return whether a row needs a package that is not installed."""
    return bool(row.needs) and find_spec(row.needs) is None


def reproduce(recipes: Recipes, name: str, seed: int, options: Options) -> int:
    """Make the result of a row and a seed, unless it is stored; returns the exit status."""
    row, path = recipes.rows[name], result_path(options.docs / "results", name, seed)
    if path.exists():
        print(f"{path} is there already")
        return 0
    print(f"{name}, seed {seed}", flush=True)
    for trained in filter(None, (row.encoder_of, name)):
        config = run_settings(recipes, trained, seed, options.runs, options.root)
        place = place_arguments(run=run_folder(recipes, trained, seed, options.runs))
        if status := run("train", [*training_arguments(config), *place, "--resume"]):
            return status
    folder = run_folder(recipes, name, seed, options.runs)
    measurement = evaluation_arguments(row.evaluation)
    if status := run("evaluate", [str(folder), *measurement, *place_arguments(root=options.root)]):
        return status
    written = folder / row.evaluation.file_name
    found = written.read_text(encoding="utf-8")
    result_from_json(found.encode(), str(written), recipes, name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, found)
    print(path)
    write_page(options.docs, recipes)
    return 0


def run(command: str, arguments: Sequence[str]) -> int:
    """Run a command in a process of its own; returns its exit status, or 128 plus the signal's number.

    A signal is passed on, and the command ends as it would by itself.
    """
    script = REPOSITORY / "scripts" / f"{command}.py"
    start = [str(script)] if script.exists() else ["-m", "mann", command]
    with caught_signals() as caught, subprocess.Popen([sys.executable, *start, *arguments]) as process:
        passed_on = False
        while process.poll() is None:
            time.sleep(0.1)
            # The terminal sends Ctrl-C to both processes; SIGTERM reaches this one alone.
            if caught() == signal.SIGTERM and not passed_on:
                process.terminate()
                passed_on = True
    if caught():
        return 128 + caught()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def overview(recipes: Recipes, options: Options) -> Table:
    """Return a table of the rows: minutes, seeds that are done, trainings in progress."""
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
        if source := row.encoder_of:
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
        f"The missing seeds take about {sum(left.values()) / 60:.0f} hours."
    )
    return table


def _share_done(run: Run) -> float | None:
    """Return the share of a training that is done; None if it was not started."""
    return run.steps_done() / run.config().steps if run.exists() else None
