"""Train a one-shot classifier: python scripts/train.py TASK [options].

TASK is what to learn from: omniglot, strokes (built-in characters, no download) or folder.
"""

import argparse
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from commands import caught_signals, one_line_errors, parse, pick_device, progress_bar

from data import DATASETS, ImageClasses, InputError, Split, load
from mann.addressing import SCHEMES
from mann.config import PRESETS, Config, addressed, checked, preset
from mann.evaluation import VALIDATION, held_out_episodes
from mann.runs import Run, describe_environment
from mann.training import NotFiniteError, train, training_episodes

DESCRIPTION = f"""Train a memory-augmented network that learns new classes within a sequence.

TASK is one of {", ".join(DATASETS)}.

  train.py strokes                     the built-in characters; no download
  train.py omniglot                    downloads Omniglot once
  train.py omniglot --root DIR         the two archives, or the folders extracted from them
  train.py folder --root DIR           your own images, DIR/CLASS/IMAGE

How memory is addressed is --addressing {", ".join(SCHEMES)} (none: no memory);
the options of the one chosen are --scheme.NAME below.

A run goes to a folder (--run). If it is stopped, the same command with --resume goes on, and ends with
the very weights that it would have had without the stop. Then: python scripts/evaluate.py RUN
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    run: Path
    """Folder for the run."""
    resume: bool = False
    """Go on with the run in the folder, or start it if there is none; its settings need not be repeated."""
    preset: str = "default"
    """Settings to start from: default, paper (Santoro et al. 2016), or demo (short)."""
    device: str = "auto"
    """Where to train: auto, cpu or cuda."""


def starting_point(task: str, arguments: list[str]) -> Options:
    """Return the options before the command line changes them: a preset, or the settings of the run to go on with."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # "?": that a value is missing will be said when all is parsed.
    early.add_argument("--run", type=Path, nargs="?", default=Path("runs") / task)
    early.add_argument("--resume", action="store_true")
    early.add_argument("--preset", nargs="?", default="default")
    early.add_argument("--addressing", nargs="?")
    known, _ = early.parse_known_args(arguments)
    run = Run(known.run or Path())
    config = preset(task, known.preset or "default", known.addressing)
    if known.resume and run.exists():
        # What the preset says stays said, so that another one than the run's is refused.
        config = addressed(replace(run.config(), **PRESETS[known.preset or "default"]), known.addressing)
    return Options(config, run.folder, known.resume, known.preset or "default")


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    if arguments and not arguments[0].startswith("-"):
        task, *arguments = arguments
    elif set(arguments) & {"-h", "--help"}:
        task = "strokes"
    else:
        raise InputError(f"no task is named: python scripts/train.py TASK, with TASK one of {', '.join(DATASETS)}")
    if task not in DATASETS:
        raise InputError(f"no task is named {task!r}: use one of {', '.join(DATASETS)}")
    start = starting_point(task, arguments)
    options = parse(Options, arguments, default=start, prog="train.py TASK", description=DESCRIPTION)
    config = checked(replace(options.config, dataset=task))
    run = Run(options.run)
    if run.exists():
        if not options.resume:
            raise InputError(f"{run.folder} holds a run already: add --resume to go on, or choose another --run")
        run.refuse_other(config)
        if run.steps_done() == config.steps:
            print(f"{run.folder} is trained already; next: python scripts/evaluate.py {shlex.quote(str(run.folder))}")
            return 0
    device = pick_device(options.device)
    chosen = str(run.split_path) if run.exists() else config.split
    classes, split = load(config.dataset, config.root, config.size, chosen)
    classes = classes.to(device)
    _refuse_too_few(config, classes, split)
    if not run.exists():
        run.start(config, split, describe_environment(device))
    return _train(config, classes, split, run)


def _refuse_too_few(config: Config, classes: ImageClasses, split: Split) -> None:
    """Refuse what cannot fill an episode before anything is written.

    Raises:
        InputError: names the part of the split and what it lacks.
    """
    for part, names in split._asdict().items():
        try:
            if part == "train":
                training_episodes(config, classes, split)
            else:
                held_out_episodes(config, classes.select(names), VALIDATION)
        except InputError as error:
            raise InputError(f"{part} classes: {error}") from error


def _train(config: Config, classes: ImageClasses, split: Split, run: Run) -> int:
    print(
        f"{config.dataset}: {len(split.train)} training classes{' x 4 rotations' if config.rotations else ''}, "
        f"{len(split.validation)} validation classes; {config.episodes} episodes into {run.folder}"
    )
    with caught_signals() as caught, progress_bar() as bar:
        task = bar.add_task("starting", total=config.steps * config.batch)

        def report(line: dict[str, Any]) -> None:
            second = line["accuracy"].get("2", float("nan"))
            speed = line["episodes"] / line["seconds"]
            text = f"loss {line['loss']:.3f}  2nd instance {second:.1%}  {speed:.0f} episodes/s"
            bar.update(task, completed=line["episodes"], description=text)
            if "validation" in line:
                shown = "  ".join(
                    f"{name}: {line['validation'][name]:.1%}" for name in ("2", "5", "10") if name in line["validation"]
                )
                bar.console.print(
                    f"{line['episodes']} episodes, {line['seconds']:.0f} s: {text}; validation by instance {shown}",
                    highlight=False,
                    soft_wrap=True,
                )

        try:
            train(config, classes, split, run, report=report, stopping=lambda: caught() != 0)
        except NotFiniteError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    folder = shlex.quote(str(run.folder))
    if run.steps_done() < config.steps:
        print(f"stopped; go on with: python scripts/train.py {config.dataset} --run {folder} --resume", file=sys.stderr)
        return 128 + caught()
    print(f"trained; next: python scripts/evaluate.py {folder}")
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
