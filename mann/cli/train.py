"""Train a model: `train TASK [options]`."""

import math
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mann.cli.console import caught_signals, pick_device, progress_bar, quiet
from mann.cli.failures import print_error
from mann.cli.training_options import parse_training, settings_given
from mann.models.unrolling import plain
from mann.problems import open_problem
from mann.runs import Run, RunReader
from mann.settings import AnyConfig, changed
from mann.settings.presets import defaults, with_preset
from mann.training import LoggingInterval, LostError, NotFiniteError, Problem, ProcessGroup, fit, joined

DESCRIPTION: Final = """Train a model that learns new classes within a sequence.

  train.py strokes                     the built-in characters; no download
  train.py omniglot                    downloads Omniglot once
  train.py omniglot --root DIR         the two archives, or the folders extracted from them
  train.py folder --root DIR           your own images, DIR/CLASS/IMAGE
  train.py copy --sizes.longest 20     an algorithmic task, with sizes of its own

train.py TASK --help lists the options of a task: the model (--model), the addressing scheme of its memory
(--addressing, with its own options --scheme.NAME), the episodes and the optimisation.

A run is written to a folder (--run). If it is stopped, the same command with --resume continues it and ends with
exactly the weights of a training without the stop. Then: python scripts/evaluate.py RUN

Several processes train together, each on its shard of every batch, on CPUs or with a GPU each:
  torchrun --nproc-per-node 2 -- scripts/train.py TASK ...
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    given = parse_training(arguments, prog="train.py", description=DESCRIPTION)
    folder = given.get("run", Path("runs") / given["task"])
    config = settings_of(given, Run(folder))
    interval = LoggingInterval(save_seconds=given.get("save_seconds", LoggingInterval.save_seconds))
    try:
        with joined(pick_device(given.get("device", "auto"))) as group, quiet(not group.is_main):
            return _run(config, folder, given.get("resume", False), interval, group)
    except LostError as error:
        print_error(error)
        return 1


def settings_of(given: Mapping[str, Any], run: Run) -> AnyConfig:
    """Return the settings that a command line asks for: a preset or those of the run to resume, and the options given.

    Raises:
        InputError: there is no such preset or option, the run is damaged, or the values do not fit.
    """
    task, name, options = given["task"], given.get("preset", "default"), settings_given(given)
    if given.get("resume") and run.exists() and run.config().task_name == task:
        config = run.config()
        # The options of a preset that is named count as given, so that a run with another one is refused.
        return changed(config, options) if name == "default" else with_preset(config, name, options)
    return with_preset(defaults(task), name, options)


def _run(config: AnyConfig, folder: Path, resume: bool, interval: LoggingInterval, group: ProcessGroup) -> int:
    """Start a run, or continue it; returns the exit status."""
    group.refuse_small(config.batch)
    run = Run(folder) if group.is_main else RunReader(folder)
    if run.exists():
        if not resume:
            raise run.taken()
        run.refuse_other(config)
        if run.steps_done() == config.steps:
            print(f"{run.folder} is trained already; next: python scripts/evaluate.py {shlex.quote(str(run.folder))}")
            return 0
    group.barrier()  # every process has checked for a run, before the main process starts it
    if not group.is_main:
        group.barrier()  # wait until the main process has started the run
    problem = open_problem(config, run, group.device)
    if group.is_main:
        group.barrier()  # the others may now read the run's split
    print(f"{problem.description}; {config.episodes} episodes into {run.folder}")
    return _train(config, problem, run, interval, group)


def _train(config: AnyConfig, problem: Problem, run: Run, interval: LoggingInterval, group: ProcessGroup) -> int:
    """Train under a progress bar; returns the exit status."""
    with caught_signals() as caught, progress_bar() as bar:
        network = getattr(problem.model, "network", problem.model)
        compiled = getattr(network, "unroll", plain) is not plain
        text = "compiling the first step" if compiled else "starting"
        task = bar.add_task(text, total=config.steps * config.batch)

        def report(line: dict[str, Any]) -> None:
            text = f"{_loss(line)}  {_headline(line)}  {line['episodes'] / line['seconds']:.0f} episodes/s"
            bar.update(task, completed=line["episodes"], description=text)
            if "validation" in line:
                bar.console.print(
                    f"{line['episodes']} episodes, {line['seconds']:.0f} s: {text}; {_validation(line['validation'])}",
                    highlight=False,
                    soft_wrap=True,
                )

        try:
            fit(problem, config, run, interval, report, lambda: caught() != 0, group)
        except NotFiniteError as error:
            print_error(error)
            return 1
    return _ended(config, run, caught())


def _ended(config: AnyConfig, run: Run, caught: int) -> int:
    """Print how the training ended, and the next command; returns the exit status."""
    folder = shlex.quote(str(run.folder))
    if run.steps_done() < config.steps:
        again = f"python scripts/train.py {config.task_name} --run {folder} --resume"
        print(f"stopped; go on with: {again}", file=sys.stderr)
        return 128 + (caught or signal.SIGTERM)  # another process was stopped, and with it all of them
    skipped = sum(line.get("skipped", 0) for line in run.metrics())
    without = f" but for {skipped} steps that were not finite" if skipped else ""
    print(f"trained{without}; next: python scripts/evaluate.py {folder}")
    return 0


def _headline(line: Mapping[str, Any]) -> str:
    """Return the most important figure of a line of metrics, on training episodes."""
    if "accuracy" in line:
        classes = f", {line['classes']} classes" if "classes" in line else ""
        return f"2nd instance {line['accuracy'].get('2', math.nan):.1%}{classes}"
    if "few_shot" in line:
        return _few_shot(line["few_shot"])
    return _of_task(line)


def _validation(validation: Mapping[str, float]) -> str:
    """Return the figures of a validation."""
    if "bits_per_sequence" in validation or "token_accuracy" in validation:
        return f"validation {_of_task(validation)}, {validation['exact_sequences']:.1%} exact"
    if "nats_per_sequence" in validation:
        return f"validation {_of_task(validation)}"
    if "1-shot" in validation:
        return f"validation {_few_shot(validation)}"
    figures = "  ".join(f"{name}: {validation[name]:.1%}" for name in ("2", "5", "10") if name in validation)
    return f"validation by instance {figures}"


def _few_shot(accuracies: Mapping[str, float]) -> str:
    """Return accuracies by number of shots."""
    return ", ".join(f"{name} {accuracy:.1%}" for name, accuracy in accuracies.items())


def _of_task(figures: Mapping[str, float]) -> str:
    """Return the most important figure of a task."""
    if "token_accuracy" in figures:
        return f"{_share(figures['token_accuracy'])} of tokens right"
    if "nats_per_sequence" in figures:
        return f"{_number(figures['nats_per_sequence'])} nats a sequence"
    return f"{_number(figures['wrong_bits_per_sequence'])} wrong bits per sequence"


def _number(figure: float | None) -> str:
    """Return a figure, a dash where nothing was counted."""
    return "-" if figure is None else f"{figure:.3f}"


def _share(figure: float | None) -> str:
    """Return a share in percent, a dash where nothing was counted."""
    return "-" if figure is None else f"{figure:.1%}"


def _loss(line: Mapping[str, Any]) -> str:
    """Return the loss of a line of metrics, and the number of skipped steps."""
    loss = "no finite loss" if line["loss"] is None else f"loss {line['loss']:.3f}"
    return f"{loss}, {line['skipped']} steps skipped" if line.get("skipped") else loss
