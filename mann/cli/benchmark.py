"""Compare addressing schemes, suites of tasks, speed and samplers: `benchmark BENCHMARK [options]`."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
import tyro
from rich.console import Console
from rich.markdown import Markdown

from data import DATASETS, InputError, load
from episodes import TASKS
from mann.addressing import SCHEMES
from mann.benchmark import samplers, schemes, speed, suite_cells, suite_tables, suites
from mann.benchmark.cells import Cell, run_cells
from mann.benchmark.implementations import IMPLEMENTATIONS
from mann.benchmark.measuring import FEWEST_ROUNDS
from mann.benchmark.schemes import FULL, QUICK, cells
from mann.benchmark.workloads import ONE_SHOT, WORKLOADS, quick
from mann.cli.command_line import parse
from mann.cli.console import pick_device, progress_bar
from mann.runs import describe_environment
from mann.settings import Config, is_reference, load_scheme

DESCRIPTION: Final = """Compare addressing schemes, memories on suites of tasks, or the speed of networks or samplers.

  benchmark.py addressing --quick                            all schemes, small: a few minutes
  benchmark.py addressing --schemes lrua,ntm --tasks copy    some of the schemes and tasks
  benchmark.py addressing --dask tcp://HOST:8786             on the workers of a dask scheduler
  benchmark.py suites --quick                                all suites of tasks, tiny: a few minutes
  benchmark.py suites --suite recall --schemes delta,dnc,lstm --budget 5
  benchmark.py speed --quick                                 tiny sizes: a test that everything runs
  benchmark.py speed --workloads w1 --implementations reference,fast
  benchmark.py speed --growth                                also time against steps, batch and slots
  benchmark.py episodes                                      episodes of the built-in characters
  benchmark.py episodes --dataset omniglot --root DIR        episodes of Omniglot

benchmark.py BENCHMARK --help lists the options of one. Each writes JSON, CSV, a table and a picture into a folder
(--out). docs/benchmarks.md, docs/suites.md and docs/speed.md describe the comparisons.
"""

ADDRESSING: Final = (
    "Train every addressing scheme on every task, with several seeds. Each training is a run in the folder --out: "
    "completed trainings are not repeated, and interrupted ones continue when the command is repeated. The table and "
    "the picture are written at the end."
)

SUITES_HELP: Final = (
    "Train every scheme, and models without a memory, on suites of tasks, and test them far beyond the sizes of the "
    "training. chomsky: eight tasks on strings (Deletang et al. 2022); recall: values of keys (Arora et al. 2023); "
    "tracking: the running product of a group's elements (Merrill et al. 2024); copy (Graves et al. 2014). A training "
    "ends when its validation has no more mistakes, or after --budget minutes. Each is a run in the folder --out: "
    "completed trainings are not repeated, and interrupted ones continue when the command is repeated. Tables, curves "
    "and a page (suites.html) are written at the end, or of what is done so far with --write. docs/suites.md describes "
    "the tasks and the results."
)

SPEED: Final = (
    "Time the network beside its alternatives, in one process, in turn and on the same inputs. Measure on an idle "
    "machine or with --threads 1: two threads that wait for a busy core are many times slower than one."
)

EPISODES: Final = (
    "Time our episode sampler beside that of learn2learn, where it is installed, with and without random rotation and "
    "translation, and a training step of the workload w1. requirements-learn2learn.txt describes how to install "
    "learn2learn, best into an environment of its own."
)

_WORKLOADS_HELP: Final = (
    f"Workloads with commas between them, or all: {', '.join(WORKLOADS)}. w1: one-shot classification with LRUA "
    "(batch 16, 64 and 256); w2: copy with the NTM (batch 1 and 32); w3: 15 classes labelled by strings (batch 16 and "
    "64). docs/speed.md lists their sizes."
)

_IMPLEMENTATIONS_HELP: Final = (
    f"Implementations with commas between them, or all: {', '.join(IMPLEMENTATIONS)}. reference: the network, nothing "
    "compiled; fast: compiled, as in trainings; lstm: torch's LSTM, without memory; dnc: the package of that name, "
    "where it is installed (pip install dnc); floor: the matrix products and nothing else."
)


@dataclass(frozen=True)
class Addressing:
    """The options of the comparison of addressing schemes."""

    schemes: str = "all"
    """Addressing schemes with commas between them, or all; FILE.py:CLASS is one of your own (docs/own-memory.md)."""
    tasks: str = "copy,associative-recall,omniglot"
    """Tasks and data sets with commas between them."""
    seeds: int | None = None
    """Number of seeds: 0, 1, ... (none: 3, or 1 with --quick)."""
    quick: bool = False
    """Small networks and short trainings: a test that everything runs."""
    root: Path | None = None
    """Folder with the images (none: download them)."""
    jobs: int = os.cpu_count() or 1
    """Trainings at a time on this machine; each gets an equal share of the cores."""
    dask: str | None = None
    """Address of a dask scheduler, whose workers then train (none: train on this machine)."""
    write: bool = False
    """Train nothing: write the comparison of the trainings that are done so far."""
    out: Path = Path("runs/addressing")
    """Folder for the runs and the comparison."""


@dataclass(frozen=True)
class Suites:
    """The options of the comparison on suites of tasks."""

    suite: str = "chomsky,recall,tracking"
    """Suites with commas between them (chomsky, recall, tracking, copy), or all."""
    schemes: str = "all"
    """Addressing schemes, and lstm, transformer or delta-layers, with commas between them, or all; FILE.py:CLASS is a
    scheme of your own (docs/own-memory.md)."""
    seeds: int | None = None
    """Number of seeds: 0, 1, ... (none: 2, or 1 with --quick)."""
    budget: float = 8.0
    """Most minutes of a training, without its test."""
    quick: bool = False
    """Tiny networks and trainings of ten steps: a test that everything runs; the figures have no meaning."""
    jobs: int = os.cpu_count() or 1
    """Trainings at a time on this machine; each gets an equal share of the cores."""
    dask: str | None = None
    """Address of a dask scheduler, whose workers then train (none: train on this machine)."""
    write: bool = False
    """Train nothing: write the comparison of the trainings that are done so far."""
    out: Path = Path("runs/suites")
    """Folder for the runs and the comparison."""


@dataclass(frozen=True)
class Speed:
    """The options of the comparison of speed."""

    workloads: Annotated[str, tyro.conf.arg(help=_WORKLOADS_HELP)] = "all"
    implementations: Annotated[str, tyro.conf.arg(aliases=["--contestants"], help=_IMPLEMENTATIONS_HELP)] = "all"
    rounds: int = 20
    """Number of times that each implementation is timed, after two rounds that are not counted."""
    growth: bool = False
    """Measure the time of a step against steps, batch and slots too (15 minutes or more, mostly compilation)."""
    memory: bool = True
    """Measure peak memory, in a separate process for each implementation (about 10 seconds each)."""
    quick: bool = False
    """Tiny sizes: a test that everything runs; the figures have no meaning."""
    threads: int | None = None
    """Number of torch's threads (none: OMP_NUM_THREADS, or the number of cores)."""
    device: str = "auto"
    """Device: auto, cpu or cuda."""
    out: Path = Path("runs/speed")
    """Folder for the comparison."""


@dataclass(frozen=True)
class Episodes:
    """The options of the comparison of samplers."""

    dataset: Literal["strokes", "omniglot"] = "strokes"
    """Data set of the episodes."""
    root: Path | None = None
    """Folder with Omniglot (none: download it)."""
    rounds: int = 100
    """Number of times that each sampler is timed, after two rounds that are not counted."""
    quick: bool = False
    """Few images and a tiny training step: a test that everything runs; the figures have no meaning."""
    threads: int | None = None
    """Number of torch's threads (none: OMP_NUM_THREADS, or the number of cores)."""
    out: Path = Path("runs/episodes")
    """Folder for the comparison."""


Options = (
    Annotated[Addressing, tyro.conf.subcommand("addressing", description=ADDRESSING)]
    | Annotated[Suites, tyro.conf.subcommand("suites", description=SUITES_HELP)]
    | Annotated[Speed, tyro.conf.subcommand("speed", description=SPEED)]
    | Annotated[Episodes, tyro.conf.subcommand("episodes", description=EPISODES)]
)
"""The options of the command: those of one benchmark."""

BENCHMARKS: Final = ("addressing", "suites", "speed", "episodes")

Written = tuple[str, list[Path]]
"""The table of a comparison, as Markdown, and the paths of its files."""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options: Addressing | Suites | Speed | Episodes = parse(
        Options, arguments, subcommands={"benchmark": BENCHMARKS}, prog="benchmark.py", description=DESCRIPTION
    )
    match options:
        case Addressing():
            table, paths = compare_addressing(options)
        case Suites():
            table, paths = compare_suites(options)
        case Speed():
            table, paths = compare_speed(options)
        case Episodes():
            table, paths = compare_episodes(options)
    Console().print(Markdown(table))
    for path in paths:
        print(path)
    return 0


def compare_addressing(options: Addressing) -> Written:
    """Train the schemes as far as they are not trained, and write the comparison."""
    todo = cells(
        options.out,
        _scheme_names(options.schemes, SCHEMES),
        _names(options.tasks, [*TASKS, *DATASETS]),
        options.seeds if options.seeds is not None else 1 if options.quick else 3,
        QUICK if options.quick else FULL,
        options.root,
    )
    results = _trained(todo, options)
    return schemes.markdown(schemes.summarise(results)), schemes.write_comparison(options.out, results)


def compare_suites(options: Suites) -> Written:
    """Train the models on the suites as far as they are not trained, and write the comparison."""
    todo = suite_cells.cells(
        options.out,
        _names(options.suite, suites.SUITES),
        _scheme_names(options.schemes, (*SCHEMES, *suites.BASELINES)),
        options.seeds if options.seeds is not None else 1 if options.quick else 2,
        suites.QUICK if options.quick else suites.FULL,
        options.budget,
    )
    results = _trained(todo, options)
    return suite_tables.markdown(suite_tables.summarise(results)), suite_tables.write_suites(options.out, results)


def _trained(todo: Sequence[Cell], options: Addressing | Suites) -> list[dict[str, Any]]:
    """Run the cells that are not done, with a progress bar; returns the results of all.

    Raises:
        InputError: nothing is to be trained and no cell is done.
    """
    _require_at_least(1, jobs=options.jobs)
    if options.write:
        todo = [cell for cell in todo if cell.done()]
        if not todo:
            raise InputError(f"no training of this comparison in {options.out} is done: leave out `write`")
    options.out.mkdir(parents=True, exist_ok=True)
    with progress_bar() as bar:
        task = bar.add_task("trainings", total=len(todo))
        return run_cells(todo, options.jobs, options.dask, lambda done: bar.update(task, completed=done))


def _scheme_names(given: str, known: Iterable[str]) -> list[str]:
    """Return the names of schemes in a text; those in files are loaded."""
    return [load_scheme(name).name if is_reference(name) else name for name in _names(given, known)]


def compare_speed(options: Speed) -> Written:
    """Measure the implementations on the workloads, and write the comparison."""
    _require_at_least(FEWEST_ROUNDS, rounds=options.rounds)
    implementations = _names(options.implementations, IMPLEMENTATIONS)
    todo = speed.cases(_names(options.workloads, WORKLOADS), implementations, options.growth, options.quick)
    device = _set_up(options.device, options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    rows, missing = [], []
    with progress_bar() as bar:
        task = bar.add_task("", total=len(todo))
        for case in todo:
            bar.update(task, description=str(case))
            measured, left_out = speed.run(case, options.rounds, device, options.memory)
            rows += measured
            missing += left_out
            bar.advance(task)
    if not rows:
        raise InputError(f"nothing could be measured: {'; '.join(missing)}")
    _print_left_out(missing)
    return speed.markdown(rows), speed.write_speed(options.out, rows, missing, describe_environment(device))


def compare_episodes(options: Episodes) -> Written:
    """Measure the samplers, and write the comparison."""
    _require_at_least(FEWEST_ROUNDS, rounds=options.rounds)
    device = _set_up("cpu", options.threads)
    config = Config(options.dataset, root=options.root)
    classes, split = load(config.dataset, config.root, config.size, config.split)
    if options.quick:
        split = split._replace(train=split.train[:10])
    options.out.mkdir(parents=True, exist_ok=True)
    workload = quick(ONE_SHOT) if options.quick else ONE_SHOT
    with progress_bar() as bar:
        bar.add_task("drawing episodes", total=None)
        found, missing = samplers.measure(config, classes, split, options.rounds, workload)
    _print_left_out(missing)
    return samplers.markdown(found), samplers.write_episodes(options.out, found, missing, describe_environment(device))


def _names(given: str, known: Iterable[str]) -> list[str]:
    """Return the names in a text with commas between them, each once; all known names for "all"."""
    return list(known) if given == "all" else list(dict.fromkeys(name.strip() for name in given.split(",")))


def _require_at_least(least: int, **counts: int | None) -> None:
    """Check that options are large enough; None is.

    Raises:
        InputError: names the first option that is smaller.
    """
    for name, count in counts.items():
        if count is not None and count < least:
            raise InputError(f"`{name}` is {count}: at least {least} {'is' if least == 1 else 'are'} needed")


def _set_up(device: str, threads: int | None) -> torch.device:
    """Set the number of threads, and return the device of that name."""
    _require_at_least(1, threads=threads)
    if threads is not None:
        torch.set_num_threads(threads)
    return pick_device(device)


def _print_left_out(lines: Sequence[str]) -> None:
    """Print a line on standard error for each measurement that was left out."""
    for line in lines:
        print(line, file=sys.stderr)
