"""Compare: python scripts/benchmark.py BENCHMARK [options]."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from commands import one_line_errors, parse, pick_device, progress_bar
from rich.console import Console
from rich.markdown import Markdown

from data import DATASETS, InputError, load
from episodes import TASKS
from mann.addressing import SCHEMES
from mann.benchmark import samplers, speed
from mann.benchmark import schemes as addressing
from mann.benchmark.cells import run_cells
from mann.benchmark.implementations import CONTESTANTS, ONE_SHOT, WORKLOADS, quick
from mann.benchmark.measuring import FEWEST_ROUNDS
from mann.benchmark.schemes import FULL, QUICK, cells
from mann.runs.run import describe_environment
from mann.settings.schema import Config
from mann.support.process_memory import keep_freed_memory

OVERVIEW = """Compare: python scripts/benchmark.py BENCHMARK [options]. BENCHMARK is one of

  addressing    ways of addressing memory, each trained on the same episodes
  speed         the network beside what else there is, and beside the least that it has to do
  episodes      how fast episodes are drawn, beside learn2learn

benchmark.py BENCHMARK --help says more. Each writes JSON, CSV, a table and a picture into the folder --out.
"""

ADDRESSING = """Compare ways of addressing memory: every scheme on every task, with several seeds.

  benchmark.py addressing --quick                             everything, small: a few minutes
  benchmark.py addressing --schemes lrua,ntm --tasks copy     some of it
  benchmark.py addressing --dask tcp://HOST:8786              on the workers of a dask scheduler

Each training is a run in the folder (--out). What is done is not done again, what was stopped goes on: repeat the
command after whatever stopped it, or with more seeds. The table and the picture are written there at the end.
"""

SPEED = f"""Compare how fast the network runs and trains, in one process, one after the other and in turn.

  benchmark.py speed --quick                                     tiny sizes: shows that everything runs
  benchmark.py speed --workloads w1 --contestants reference,fast some of it
  benchmark.py speed --growth                                    and how time grows with steps, batch and slots

Workloads: {", ".join(WORKLOADS)}. w1 is one-shot classification with LRUA (batch 16), w2 copy with the NTM
(batch 1 and 32), w3 has 15 classes named by strings (batch 16 and 64). docs/speed.md says their sizes.
Contestants: the reference (nothing compiled), the fast way that trainings take, torch's LSTM without memory, the
package dnc where it is installed (pip install dnc), and the floor: the products of matrices and nothing else.

Leave the machine alone meanwhile, or take --threads 1: two threads that wait for a core another process has are
many times slower than one.
"""

EPISODES = """Compare how fast episodes are drawn: our sampler, and learn2learn's where it is installed.

  benchmark.py episodes                                     the built-in characters
  benchmark.py episodes --dataset omniglot --root DIR       Omniglot

Both draw episodes of as many classes and drawings from the same images, with and without random rotation and
translation. A step of training (the workload w1 of the benchmark speed) is timed beside them.
requirements-learn2learn.txt says how to install learn2learn, best into an environment of its own.
"""


@dataclass(frozen=True)
class Addressing:
    """The options of the comparison of schemes."""

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


@dataclass(frozen=True)
class Speed:
    """The options of the comparison of speed."""

    workloads: str = "all"
    """Workloads, with commas between them, or all."""
    contestants: str = "all"
    """Contestants, with commas between them, or all."""
    rounds: int = 20
    """How often each is timed, after two rounds that do not count."""
    growth: bool = False
    """Measure how the time of a step grows too (a quarter of an hour or more: much is compiled)."""
    memory: bool = True
    """Measure how much memory each takes, in a process of its own (some 10 seconds each)."""
    quick: bool = False
    """Tiny sizes: the figures mean nothing, but everything runs."""
    threads: int | None = None
    """Threads of a product (none: what torch takes, OMP_NUM_THREADS or the cores)."""
    device: str = "auto"
    """Where to measure: auto, cpu or cuda."""
    out: Path = Path("runs/speed")
    """Folder for the comparison."""


@dataclass(frozen=True)
class Episodes:
    """The options of the comparison of samplers."""

    dataset: Literal["strokes", "omniglot"] = "strokes"
    """Images to draw from."""
    root: Path | None = None
    """Folder with Omniglot, if it is not to be downloaded."""
    rounds: int = 100
    """How often each is timed, after two rounds that do not count."""
    quick: bool = False
    """Few images, a tiny step: the figures mean nothing, but everything runs."""
    threads: int | None = None
    """Threads of a product (none: what torch takes, OMP_NUM_THREADS or the cores)."""
    out: Path = Path("runs/episodes")
    """Folder for the comparison."""


def chosen(said: str, everything: list[str]) -> list[str]:
    """Return the names said with commas between them, each once."""
    return everything if said == "all" else list(dict.fromkeys(name.strip() for name in said.split(",")))


def refuse_below(least: int, **counts: int | None) -> None:
    """Check that what is said of options is large enough.

    Raises:
        InputError: names the first option that is not.
    """
    for name, count in counts.items():
        if count is not None and count < least:
            raise InputError(f"--{name} {count}: at least {least} {'is' if least == 1 else 'are'} needed")


def compare_addressing(options: Addressing) -> tuple[str, list[Path]]:
    """Train what is not trained yet; returns the table, and what was written."""
    refuse_below(1, jobs=options.jobs)
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
    return addressing.markdown(addressing.summarise(results)), addressing.write_comparison(options.out, results)


def measured_on(device: str, threads: int | None) -> torch.device:
    """Take so many threads, and return the device called so."""
    refuse_below(1, threads=threads)
    if threads is not None:
        torch.set_num_threads(threads)
    return pick_device(device)


def compare_speed(options: Speed) -> tuple[str, list[Path]]:
    """Measure; returns the table, and what was written."""
    refuse_below(FEWEST_ROUNDS, rounds=options.rounds)
    names = chosen(options.contestants, list(CONTESTANTS))
    todo = speed.races(chosen(options.workloads, list(WORKLOADS)), names, options.growth, options.quick)
    device = measured_on(options.device, options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    rows, missing = [], []
    with progress_bar() as bar:
        task = bar.add_task("", total=len(todo))
        for race in todo:
            bar.update(task, description=str(race))
            found, left_out = speed.run(race, options.rounds, device, options.memory)
            rows += found
            missing += left_out
            bar.advance(task)
    if not rows:
        raise InputError(f"nothing could be measured: {'; '.join(missing)}")
    for line in missing:
        print(line, file=sys.stderr)
    return speed.markdown(rows), speed.write_speed(options.out, rows, missing, describe_environment(device))


def compare_episodes(options: Episodes) -> tuple[str, list[Path]]:
    """Measure; returns the table, and what was written."""
    refuse_below(FEWEST_ROUNDS, rounds=options.rounds)
    device = measured_on("cpu", options.threads)
    config = replace(Config(options.dataset), root=options.root)
    classes, split = load(config.dataset, config.root, config.size, config.split)
    if options.quick:
        split = split._replace(train=split.train[:10])
    options.out.mkdir(parents=True, exist_ok=True)
    workload = quick(ONE_SHOT) if options.quick else ONE_SHOT
    with progress_bar() as bar:
        bar.add_task("drawing episodes", total=None)
        found, missing = samplers.measure(config, classes, split, options.rounds, workload)
    for line in missing:
        print(line, file=sys.stderr)
    return samplers.markdown(found), samplers.write_episodes(options.out, found, missing, describe_environment(device))


class Benchmark(NamedTuple):
    """A benchmark.

    Attributes:
        options: Its options, a dataclass.
        description: For --help.
        run: From options to the table as Markdown and the paths of what was written.
    """

    options: type[Any]
    description: str
    run: Callable[[Any], tuple[str, list[Path]]]


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "addressing": Benchmark(Addressing, ADDRESSING, compare_addressing),
        "speed": Benchmark(Speed, SPEED, compare_speed),
        "episodes": Benchmark(Episodes, EPISODES, compare_episodes),
    }
)


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    if not arguments or arguments[0].startswith("-"):
        if set(arguments) & {"-h", "--help"}:
            print(OVERVIEW, end="")
            return 0
        raise InputError(
            f"no benchmark is named: python scripts/benchmark.py BENCHMARK, one of {', '.join(BENCHMARKS)}"
        )
    name, *rest = arguments
    if name not in BENCHMARKS:
        raise InputError(f"no benchmark is named {name!r}: use one of {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    options = parse(benchmark.options, rest, prog=f"benchmark.py {name}", description=benchmark.description)
    table, paths = benchmark.run(options)
    Console().print(Markdown(table))
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
