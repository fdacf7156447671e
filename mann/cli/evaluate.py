"""Measure trained models: `evaluate RUN ... [options]`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch
import tyro
from rich.progress import TaskID

from data import InputError, load, read_split
from mann.cli.command_line import parse
from mann.cli.console import pick_device, print_whole, progress_bar
from mann.evaluation.held_out import OnProgress
from mann.evaluation.instances import first_sequence
from mann.evaluation.measurement import Measurement
from mann.evaluation.task_costs import evaluate_task, largest_trained, task_traces
from mann.models.building import answers_no_sequences, build_nearest_pixels
from mann.models.classifier import Classifier
from mann.reporting.accuracy import instance_table
from mann.reporting.comparison import EvaluatedRun, comparison_table, write_run_comparison
from mann.reporting.few_shot_table import few_shot_table
from mann.reporting.run_files import write_classification_report, write_task_report
from mann.reporting.task_figures import task_table
from mann.runs import Run, describe_environment, load_run
from mann.settings import Config, TaskConfig, load_scheme
from mann.support.files import write_text

DESCRIPTION: Final = """Measure trained models on episodes that none of them was trained on.

  evaluate.py runs/omniglot                a table, and pictures into the run's folder
  evaluate.py runs/copy-0 runs/copy-1      the same for each, then all of them side by side (--out)
  evaluate.py runs/omniglot --ways 5 --shots 1 5       N-way K-shot instead, into few-shot.json
  evaluate.py runs/omniglot --classes 50   episodes of 50 classes instead, into 50-classes.json
  evaluate.py runs/omniglot --alphabets one            classes of one alphabet in each episode, into one-alphabet.json
  evaluate.py runs/omniglot --memory persistent        memory not wiped between episodes, into persistent-memory.json
  evaluate.py runs/omniglot --nearest      nearest neighbours of raw pixels instead, on the very same episodes

Classification: accuracy at the 1st, 2nd, ... presentation of a class. The classes are the split's test classes, the
weights are fixed, and the memory is blank at the start of every episode (or persistent, as in training). The table also
has the paper's figures, where it reports any. In the run's folder: evaluation.json, instances.csv and instances.png,
curves.csv and training.png, and binding.png: which slot of the memory was bound to which class.

Labels that are strings can tell any number of classes apart, one-hot labels as many as there were in training.

N-way K-shot is another measure: K images of each of N classes are presented in order, then each query is answered from
the state after them.

Algorithmic tasks: the cost of the answers and the number of wrong bits, at the sizes of the training and beyond them.
In the run's folder: evaluation.json, sizes.csv and sizes.png, curves.csv and training.png, sequences.png with wrong
bits marked, and memory.png: writes and reads.
"""


@dataclass(frozen=True)
class Options(Measurement):
    """The options of the command."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of the runs."""
    root: Path | None = None
    """Folder with the data, if it is not where it was in training."""
    device: str = "auto"
    """Device: auto, cpu or cuda."""
    out: Path | None = None
    """Folder for the comparison of several runs (none: a folder named comparison beside the first)."""
    addressing: str | None = None
    """FILE.py:CLASS of the scheme of your own with which the runs were trained; the file is run."""

    @property
    def measurement(self) -> Measurement:
        """The measurement alone."""
        return Measurement(**{entry.name: getattr(self, entry.name) for entry in fields(Measurement)})


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="evaluate.py", description=DESCRIPTION)
    folders = tuple(dict.fromkeys(options.runs))
    if not folders:
        raise InputError("no run is named: python scripts/evaluate.py RUN, with RUN the folder of a run")
    if options.addressing is not None:
        load_scheme(options.addressing)
    for folder in folders:
        Run(folder).config()  # refuses a folder that is no run before the work begins
    device = pick_device(options.device)
    found = {}
    with progress_bar() as bar:
        for name, folder in zip(_short_names(folders), folders, strict=True):
            task = bar.add_task(name, total=options.episodes)

            def progress(done: int, task: TaskID = task) -> None:
                bar.update(task, completed=done)

            if (compared := _evaluated(Run(folder), options, device, progress)) is not None:
                found[name] = compared
    if len(found) > 1:
        out = options.out or folders[0].parent / "comparison"
        out.mkdir(parents=True, exist_ok=True)
        print_whole(comparison_table(found))
        for path in write_run_comparison(out, found):
            print(path)
    return 0


def _evaluated(run: Run, options: Options, device: torch.device, progress: OnProgress) -> EvaluatedRun | None:
    """Evaluate a run, write files into its folder, print its table; returns the figures for a comparison."""
    config = run.config()
    if isinstance(config, TaskConfig):
        if not options.measurement.as_trained:
            raise InputError(f"{run.folder} holds a run of the task {config.task}: its model classifies no images")
        return _evaluated_task(run, options, device, progress)
    return _evaluated_images(run, config, options, device, progress)


def _evaluated_task(run: Run, options: Options, device: torch.device, progress: OnProgress) -> EvaluatedRun:
    """Evaluate a run of an algorithmic task; see `_evaluated`."""
    loaded, metrics = load_run(run, device), run.metrics()
    content = evaluate_task(loaded.model, loaded.task, device, options.episodes, progress)
    trained = largest_trained(loaded.task.task, loaded.task.sizes)
    traces = task_traces(loaded.model, loaded.task, device)
    written = write_task_report(run.folder, content, metrics, trained, traces)
    print_whole(task_table(content))
    _store(run, "evaluation.json", content, run.history(), device, written)
    return EvaluatedRun(content, metrics, trained)


def _evaluated_images(
    run: Run, config: Config, options: Options, device: torch.device, progress: OnProgress
) -> EvaluatedRun | None:
    """Evaluate a run on images; see `_evaluated`. Returns None where the trained model was not measured."""
    measurement, metrics, written = options.measurement, run.metrics(), []
    settings = measurement.settings(config)
    if measurement.nearest:  # needs the split of the run, not its weights
        model, split = build_nearest_pixels(settings).to(device), read_split(run.split_path)
    else:
        loaded = load_run(run, device, settings)
        model, (_, split) = loaded.model, loaded.classification
    if not (measurement.few_shot or isinstance(model, Classifier)):
        raise answers_no_sequences()
    classes, split = load(config.dataset, options.root or config.root, config.size, split)
    classes = classes.to(device)
    content = measurement.measure(model, settings, classes, split, progress)
    title = "nearest neighbour of the pixels, among all earlier images" if measurement.nearest else ""
    if measurement.as_trained and isinstance(model, Classifier):
        trace = first_sequence(model, settings, classes, split, measurement.part)
        written = write_classification_report(run.folder, content, metrics, trace)
    print_whole(few_shot_table(content, title) if measurement.few_shot else instance_table(content, title))
    history = None if measurement.nearest else run.history()
    _store(run, measurement.file_name, content, history, device, written)
    return None if measurement.nearest else EvaluatedRun(content, metrics, {})


def _store(
    run: Run,
    name: str,
    content: dict[str, Any],
    history: Mapping[str, Any] | None,
    device: torch.device,
    written: Sequence[Path],
) -> None:
    """Write the result of an evaluation into the run's folder, and print the paths of all files written."""
    path = run.folder / name
    stored = {**content, "training": history, "environment": describe_environment(device)}
    write_text(path, json.dumps(stored, indent=2) + "\n")
    for file in (path, *written):
        print(file)


def _short_names(folders: tuple[Path, ...]) -> list[str]:
    """Return short names of the folders that tell them apart."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
