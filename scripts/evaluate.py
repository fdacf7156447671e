"""Evaluate runs: python scripts/evaluate.py RUN ... [options]. Accuracy by instance, or what answers to a task cost."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from commands import one_line_errors, parse, pick_device, progress_bar
from rich.console import Console
from rich.measure import Measurement
from rich.progress import TaskID
from rich.table import Table

from data import InputError, load
from mann.evaluation.few_shot_accuracy import QUERIES, evaluate_few_shot
from mann.evaluation.instances import TEST, classification_settings, evaluate, first_sequence, with_classes
from mann.evaluation.task_costs import evaluate_task, examples_of, largest_trained
from mann.models.classifier import nearest_pixels
from mann.papers.published import SHOTS
from mann.reporting.accuracy import instance_table
from mann.reporting.comparison import Compared, comparison_table, write_run_comparison
from mann.reporting.few_shot_table import few_shot_table
from mann.reporting.run_files import write_classification_report, write_task_report
from mann.reporting.task_figures import task_table
from mann.runs.run import Run, describe_environment
from mann.settings.schema import TaskConfig
from mann.support.files import write_text
from mann.support.process_memory import keep_freed_memory

DESCRIPTION = """Measure what trained networks can do, on episodes that none of them was trained on.

  evaluate.py runs/omniglot                a table, and pictures into the run's folder
  evaluate.py runs/copy-0 runs/copy-1      the same for each, then all of them side by side (--out)
  evaluate.py runs/omniglot --ways 5 --shots 1 5       N-way K-shot instead, into few-shot.json
  evaluate.py runs/omniglot --classes 50   episodes of 50 classes instead, into 50-classes.json
  evaluate.py runs/omniglot --alphabets one            classes of one alphabet in each episode, into one-alphabet.json
  evaluate.py runs/omniglot --memory persistent        memory not wiped between episodes, into persistent-memory.json
  evaluate.py runs/omniglot --nearest      nearest neighbours on raw pixels instead, on the very same episodes

Of a classification: how often it is right at the 1st, 2nd, ... time it sees a class. The classes are the split's test
classes, weights are fixed, and memory is blank at the start of every episode (or persistent, as in training). The
paper's figures stand beside where there are any. In the run's folder: evaluation.json, instances.csv and instances.png,
curves.csv and training.png, and binding.png: which slot of the memory was bound to which class.

Labels that are strings can tell any number of classes apart, one-hot labels as many as there were in training.

N-way K-shot is another measure: K drawings of each of N classes are shown in order, then each query is answered from
the state after them.

Of an algorithmic task: what answers cost and how many bits are wrong, at the sizes of the training and beyond them.
In the run's folder: evaluation.json, sizes.csv and sizes.png, curves.csv and training.png, sequences.png with wrong
bits marked, and memory.png: what was written and read where.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of the runs."""
    episodes: int = TEST.episodes
    """Test episodes (of a task: sequences for each of the sizes)."""
    classes: int | None = None
    """Classes in an episode, if not as many as in training; what is found goes to a file of its own."""
    alphabets: Literal["all", "one"] | None = None
    """The same: whether the classes of an episode are drawn from all alphabets or from one."""
    memory: Literal["wiped", "persistent"] | None = None
    """The same: whether memory is wiped between one episode and the next, or stays as it is."""
    ways: tuple[int, ...] = ()
    """Measure N-way K-shot instead of accuracy by instance: numbers of classes, such as 5 20."""
    shots: tuple[int, ...] = ()
    """Of that, numbers of drawings shown of each class, such as 1 5."""
    queries: int = QUERIES
    """Drawings of each class to be named after them."""
    nearest: bool = False
    """Measure nearest neighbours on raw pixels instead of the network, into nearest.json or nearest-few-shot.json."""
    part: Literal["test", "validation"] = "test"
    """Classes to evaluate on; validation is for choosing between settings."""
    root: Path | None = None
    """Where the data lie, if not where they were in training."""
    device: str = "auto"
    """Where to compute: auto, cpu or cuda."""
    out: Path | None = None
    """Folder for the comparison of several runs (none: `comparison` beside the first)."""


def evaluated(run: Run, options: Options, device: torch.device, report: Callable[[int], None]) -> Compared:
    """Evaluate a run, write everything into its folder, print its table; returns what was found."""
    config, metrics = run.config(), run.metrics()
    if isinstance(config, TaskConfig):
        content = evaluate_task(run, device, options.episodes, report)
        trained = largest_trained(config.task, config.sizes)
        written = write_task_report(run.folder, content, metrics, trained, examples_of(run, device))
        print_whole(task_table(content))
    else:
        classes, split = load(config.dataset, options.root or config.root, config.size, str(run.split_path))
        classes, trained = classes.to(device), {}
        content = evaluate(run, classes, split, options.part, options.episodes, report)
        seen = first_sequence(run, classes, split, options.part)
        written = write_classification_report(run.folder, content, metrics, seen)
        print_whole(instance_table(content))
    path = run.folder / "evaluation.json"
    history = {"training": run.history(), "environment": describe_environment(device)}
    write_text(path, json.dumps({**content, **history}, indent=2) + "\n")
    for file in (path, *written):
        print(file)
    return Compared(content, metrics, trained)


def evaluated_otherwise(
    run: Run, options: Options, device: torch.device, report: Callable[[int], None]
) -> Compared | None:
    """Measure what was not trained, N-way K-shot or nearest neighbours; write it into the run's folder, print a table.

    Returns what runs can be compared by.
    """
    config = classification_settings(run)
    if few_shot_asked(options) and (options.classes, options.memory) != (None, None):
        raise InputError(
            "--classes and --memory are for accuracy by instance: of N-way K-shot, --ways is the number of classes, "
            "and support sets are shown to a blank memory"
        )
    settings = config if options.classes is None else with_classes(config, options.classes)
    settings = replace(
        settings, alphabets=options.alphabets or config.alphabets, memory=options.memory or config.memory
    )
    classes, split = load(config.dataset, options.root or config.root, config.size, str(run.split_path))
    measured = (run, classes.to(device), split)
    model, names, title = None, [], ""
    if options.nearest:
        model = nearest_pixels(config)
        names, title = ["nearest"], "nearest neighbour of the pixels, among all drawings so far"
    if options.classes is not None:
        names.append(f"{options.classes}-classes")
    if options.alphabets is not None:
        names.append({"all": "all-alphabets", "one": "one-alphabet"}[options.alphabets])
    if options.memory is not None:
        names.append(f"{options.memory}-memory")
    if few_shot_asked(options):
        ways, shots = options.ways or (config.classes,), options.shots or SHOTS
        content = evaluate_few_shot(
            *measured, ways, shots, options.queries, options.part, options.episodes, report, model, settings
        )
        names.append("few-shot")
        print_whole(few_shot_table(content, title))
    else:
        content = evaluate(*measured, options.part, options.episodes, report, model, settings)
        print_whole(instance_table(content, title))
    path = run.folder / f"{'-'.join(names)}.json"
    history = {"training": None if options.nearest else run.history(), "environment": describe_environment(device)}
    write_text(path, json.dumps({**content, **history}, indent=2) + "\n")
    print(path)
    return None if options.nearest else Compared(content, run.metrics(), {})


def few_shot_asked(options: Options) -> bool:
    """Return whether N-way K-shot accuracy is to be measured."""
    return bool(options.ways or options.shots)


def otherwise_asked(options: Options) -> bool:
    """Return whether something else is to be measured than what was trained, by the network that was trained."""
    changes = (options.classes, options.alphabets, options.memory)
    return options.nearest or few_shot_asked(options) or any(change is not None for change in changes)


def print_whole(table: Table) -> None:
    """Print a table at the width that it needs, wherever it goes."""
    console = Console()
    needed = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    Console(width=max(console.width, needed)).print(table)


def names_of(folders: tuple[Path, ...]) -> list[str]:
    """Return short names of the folders that tell them apart."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="evaluate.py", description=DESCRIPTION)
    folders = tuple(dict.fromkeys(options.runs))
    if not folders:
        raise InputError("no run is named: python scripts/evaluate.py RUN, with RUN the folder of a run")
    for folder in folders:
        Run(folder).config()  # whatever is no run is refused before the work begins
    device = pick_device(options.device)
    found = {}
    measure = evaluated_otherwise if otherwise_asked(options) else evaluated
    with progress_bar() as bar:
        for name, folder in zip(names_of(folders), folders, strict=True):
            task = bar.add_task(name, total=options.episodes)

            def report(done: int, task: TaskID = task) -> None:
                bar.update(task, completed=done)

            if (compared := measure(Run(folder), options, device, report)) is not None:
                found[name] = compared
    if len(found) > 1:
        out = options.out or folders[0].parent / "comparison"
        out.mkdir(parents=True, exist_ok=True)
        print_whole(comparison_table(found))
        for path in write_run_comparison(out, found):
            print(path)
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
