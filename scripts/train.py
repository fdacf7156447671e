"""Train a memory-augmented network: python scripts/train.py TASK [options].

TASK is a data set to learn one-shot classification from (omniglot, strokes, folder) or an algorithmic task (copy, ...).
"""

import argparse
import math
import shlex
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from commands import caught_signals, one_line_errors, parse, pick_device, progress_bar, quiet

from data import DATASETS, InputError
from episodes import TASKS
from mann.addressing import SCHEMES
from mann.problems.opening import open_problem
from mann.runs.run import Follower, Run
from mann.settings.schema import AnyConfig, addressed, checked, preset, preset_changes, what_is_learned
from mann.support.process_memory import keep_freed_memory
from mann.training.distributed import LostError, Team, joined
from mann.training.loop import NotFiniteError, Pace, Problem, fit

DESCRIPTION = f"""Train a memory-augmented network that learns new classes within a sequence.

TASK is one of {", ".join((*DATASETS, *TASKS))}.

  train.py strokes                     the built-in characters; no download
  train.py omniglot                    downloads Omniglot once
  train.py omniglot --root DIR         the two archives, or the folders extracted from them
  train.py folder --root DIR           your own images, DIR/CLASS/IMAGE
  train.py copy --sizes.longest 20     an algorithmic task, with sizes of its own

How memory is addressed is --addressing {", ".join(SCHEMES)}
(none: no memory; prototypes, nearest, maml: a prototypical network, nearest neighbours, MAML, to compare with);
the options of the one chosen are --scheme.NAME below.

A run goes to a folder (--run). If it is stopped, the same command with --resume goes on, and ends with
the very weights that it would have had without the stop. Then: python scripts/evaluate.py RUN

Several processes train together, each on its part of every batch, on CPUs or with a GPU each:
  torchrun --nproc-per-node 2 -- scripts/train.py TASK ...
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    # Of the type of the default that it is parsed with: the settings of a classification or of a task.
    config: Annotated[Any, tyro.conf.arg(name="")]
    run: Path
    """Folder for the run."""
    resume: bool = False
    """Go on with the run in the folder, or start it if there is none; its settings need not be repeated."""
    preset: str = "default"
    """Settings to start from: default, paper (Santoro et al. 2016), demo (short); of a task default, lstm (without
    memory, to compare with), or from Graves et al. 2014 paper-feedforward-ntm, paper-lstm-ntm, paper-lstm."""
    device: str = "auto"
    """Where to train: auto, cpu or cuda."""
    save_seconds: float = 30.0
    """Seconds between two checkpoints; what was learned since the last one is learned again after a kill."""


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
    if known.resume and run.exists() and what_is_learned(run.config()) == task:
        # What the preset says stays said, so that another one than the run's is refused.
        said = {} if known.preset in (None, "default") else preset_changes(task, known.preset)
        config = addressed(replace(run.config(), **said), known.addressing)
    return Options(config, run.folder, known.resume, known.preset or "default")


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    if arguments and not arguments[0].startswith("-"):
        task, *arguments = arguments
    elif set(arguments) & {"-h", "--help"}:
        task = "strokes"
    else:
        names = ", ".join((*DATASETS, *TASKS))
        raise InputError(f"no task is named: python scripts/train.py TASK, with TASK one of {names}")
    start = starting_point(task, arguments)
    options = parse(Options, arguments, default=start, prog="train.py TASK", description=DESCRIPTION)
    config = checked(options.config)
    try:
        with joined(pick_device(options.device)) as team, quiet(not team.first):
            return _run(options, config, team)
    except LostError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: Options, config: AnyConfig, team: Team) -> int:
    """Start a run, or go on with it; returns the exit status."""
    team.refuse_small(config.batch)
    run = Run(options.run) if team.first else Follower(options.run)
    if run.exists():
        if not options.resume:
            raise run.taken()
        run.refuse_other(config)
        if run.steps_done() == config.steps:
            print(f"{run.folder} is trained already; next: python scripts/evaluate.py {shlex.quote(str(run.folder))}")
            return 0
    team.wait()  # all have looked: now the first one may start the run,
    if not team.first:
        team.wait()
    problem = open_problem(config, run, team.device)
    if team.first:
        team.wait()  # and the others may see it
    print(f"{problem.description}; {config.episodes} episodes into {run.folder}")
    return _train(config, problem, run, Pace(save_seconds=options.save_seconds), team)


def _headline(line: Mapping[str, Any]) -> str:
    """Return the figure of a line of metrics that says most, of classes or sequences trained on."""
    if "accuracy" in line:
        classes = f", {line['classes']} classes" if "classes" in line else ""
        return f"2nd instance {line['accuracy'].get('2', math.nan):.1%}{classes}"
    if "few_shot" in line:
        return _few_shot(line["few_shot"])
    return _of_a_task(line)


def _held_out(validation: Mapping[str, float]) -> str:
    """Return how well the model does where it was not trained."""
    if "bits_per_sequence" in validation:
        return f"validation {_of_a_task(validation)}, {validation['exact_sequences']:.1%} exact"
    if "nats_per_sequence" in validation:
        return f"validation {_of_a_task(validation)}"
    if "1-shot" in validation:
        return f"validation {_few_shot(validation)}"
    shown = "  ".join(f"{name}: {validation[name]:.1%}" for name in ("2", "5", "10") if name in validation)
    return f"validation by instance {shown}"


def _few_shot(shares: Mapping[str, float]) -> str:
    """Return accuracies by number of shots."""
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def _of_a_task(figures: Mapping[str, float]) -> str:
    """Return the figure of a task's answers that says most."""
    if "nats_per_sequence" in figures:
        return f"{_number(figures['nats_per_sequence'])} nats a sequence"
    return f"{_number(figures['wrong_bits_per_sequence'])} wrong bits a sequence"


def _number(figure: float | None) -> str:
    """Return a figure, a dash where there was nothing to count."""
    return "-" if figure is None else f"{figure:.3f}"


def _loss(line: Mapping[str, Any]) -> str:
    """Return the loss of a line of metrics, and how many steps had none."""
    loss = "no finite loss" if line["loss"] is None else f"loss {line['loss']:.3f}"
    return f"{loss}, {line['skipped']} steps skipped" if line.get("skipped") else loss


def _train(config: AnyConfig, problem: Problem, run: Run, pace: Pace, team: Team) -> int:
    with caught_signals() as caught, progress_bar() as bar:
        task = bar.add_task("starting", total=config.steps * config.batch)

        def report(line: dict[str, Any]) -> None:
            speed = line["episodes"] / line["seconds"]
            text = f"{_loss(line)}  {_headline(line)}  {speed:.0f} episodes/s"
            bar.update(task, completed=line["episodes"], description=text)
            if "validation" in line:
                bar.console.print(
                    f"{line['episodes']} episodes, {line['seconds']:.0f} s: {text}; {_held_out(line['validation'])}",
                    highlight=False,
                    soft_wrap=True,
                )

        try:
            fit(problem, config, run, pace, report, lambda: caught() != 0, team)
        except NotFiniteError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    folder = shlex.quote(str(run.folder))
    if run.steps_done() < config.steps:
        again = f"python scripts/train.py {what_is_learned(config)} --run {folder} --resume"
        print(f"stopped; go on with: {again}", file=sys.stderr)
        return 128 + (caught() or signal.SIGTERM)  # another process was told to stop, and with it all
    skipped = sum(line.get("skipped", 0) for line in run.metrics())
    left_out = f" but for {skipped} steps that were not finite" if skipped else ""
    print(f"trained{left_out}; next: python scripts/evaluate.py {folder}")
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
