"""Trainings that are killed at random moments and resumed: they have to end as if they had not been.

Every training is a process of its own that runs the training command and saves after every step, so that most signals
hit a checkpoint that is being written.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy
import torch
import torch._dynamo  # the optimisers would import it in every process
from PIL import Image
from torch import Tensor

from data import load
from mann.evaluation.instances import evaluate
from mann.evaluation.task_costs import evaluate_task
from mann.runs.run import Run, read_checkpoint
from mann.settings.schema import TaskConfig

Train = Callable[[list[str], Callable[[], None]], int]
"""Runs the training command with arguments; returns its exit status. Calls the second once it handles signals."""

STEPS = 200
_NETWORK = f"--device cpu --save-seconds 0 --hidden-size 8 --slots 6 --word-size 4 --batch 2 --episodes {2 * STEPS}"
SUBJECTS: Mapping[str, str] = MappingProxyType(
    {
        "classification": f"folder --size 8 --classes 2 --presentations 2 {_NETWORK}",
        "copy": f"copy --sizes.bits 3 --sizes.longest 4 {_NETWORK}",
    }
)
"""What is trained, by name: the arguments of the command, without the folders."""
_POLITE = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = (signal.SIGKILL, *_POLITE)


class BrokenPromiseError(AssertionError):
    """A training that was killed did not leave or become what it should."""


def endure_kills(train: Train, count: int, folder: Path, report: Callable[[int], None]) -> dict[str, Any]:
    """Kill trainings of `SUBJECTS` `count` times, resume them, and compare each with one that was left alone.

    Args:
        train: The training command. Processes are forked from this one, which therefore must have no threads.
        count: Kills, shared out among the subjects.
        folder: Where the trainings go.
        report: Called with the kills done.

    Raises:
        BrokenPromiseError: what was promised does not hold.
    """
    torch.set_num_threads(1)
    _draw_letters(folder / "letters")
    found, done = {}, 0
    for left, (name, arguments) in zip(range(len(SUBJECTS), 0, -1), SUBJECTS.items(), strict=True):
        root = ["--root", str(folder / "letters")] if name == "classification" else []
        kills = (count - done) // left
        report_all = partial(_report_from, report, done)
        found[name] = _endure(train, [*arguments.split(), *root], kills, folder / name, report_all)
        done += kills
    return {"steps": STEPS, "subjects": found}


def _report_from(report: Callable[[int], None], before: int, done: int) -> None:
    """Report kills beside those of the subjects before."""
    report(before + done)


def _endure(
    train: Train, arguments: Sequence[str], count: int, folder: Path, report: Callable[[int], None]
) -> dict[str, Any]:
    """Kill one subject `count` times; returns what was counted."""
    folder.mkdir(parents=True)
    said = folder / "said.txt"
    began = time.monotonic()
    whole = Run(folder / "whole")
    status = _wait(_started(train, [*arguments, "--run", str(whole.folder)], said))
    if status:
        raise BrokenPromiseError(f"the training ended with status {status}: {said.read_text()}")
    longest = (time.monotonic() - began) / 3
    expected = outcome(whole)
    chance = random.Random(len(arguments))
    counted: Counter[str] = Counter()
    kills = 0
    while kills < count:
        run = Run(folder / "killed")
        command = [*arguments, "--run", str(run.folder), "--resume"]
        while True:
            process = _started(train, command, said)
            number = None
            if kills < count:
                time.sleep(chance.uniform(0, longest))
                number = chance.choice(_SIGNALS)
                os.kill(process, number)
            status = _wait(process)
            if status == 0:  # before the signal came
                break
            if number is None:
                raise BrokenPromiseError(f"ended with status {status} though nobody asked for it: {said.read_text()}")
            kills += 1
            report(kills)
            counted.update([number.name, *_checked(run, number, status, said.read_text())])
        _check_whole_lines(run)
        for part, value in outcome(run).items():
            if value != expected[part]:
                raise BrokenPromiseError(f"{part} of a training that was killed differs: {run.folder}")
        counted.update(["identical trainings"])
        shutil.rmtree(run.folder)
    return dict(sorted(counted.items()))


def outcome(run: Run) -> dict[str, Any]:
    """Return what a finished run came to, in a form in which equal means equal bit for bit."""
    checkpoint = run.last_checkpoint()
    if checkpoint is None:
        raise BrokenPromiseError(f"{run.folder} is finished, but holds no checkpoint")
    config, cpu = run.config(), torch.device("cpu")
    if isinstance(config, TaskConfig):
        evaluation = evaluate_task(run, cpu, 20)
    else:
        classes, split = load(config.dataset, config.root, config.size, str(run.split_path))
        evaluation = evaluate(run, classes, split, episodes=50)
    return {
        "step": checkpoint.step,
        "weights": _bits(checkpoint.weights),
        "training": _bits(checkpoint.training),
        "metrics": [_bits(line) for line in run.metrics()],
        "evaluation": evaluation,
    }


def _bits(content: Any) -> Any:
    """Return nested containers with their tensors as digests, without the seconds."""
    if isinstance(content, Tensor):
        digest = hashlib.sha256(content.contiguous().numpy().tobytes()).hexdigest()
        return str(content.dtype), tuple(content.shape), digest
    if isinstance(content, Mapping):
        return {key: _bits(value) for key, value in content.items() if key != "seconds"}
    if isinstance(content, list | tuple):
        return [_bits(value) for value in content]
    return content


def _checked(run: Run, number: signal.Signals, status: int, said: str) -> list[str]:
    """Check what a signal has left behind; returns what there is to count."""
    found = []
    if number is signal.SIGKILL:
        if status != -number:
            raise BrokenPromiseError(f"SIGKILL ended with status {status}: {said}")
    else:
        last = said.splitlines()[-1:]
        if (
            status != 128 + number
            or "Traceback" in said
            or not last
            or not last[0].startswith(("stopped", "interrupted"))
        ):
            raise BrokenPromiseError(f"{number.name} ended with status {status}: {said}")
        if last[0].startswith("stopped"):
            found.append("stopped with a checkpoint")
            if not run.steps_done():
                raise BrokenPromiseError(f"{number.name} said that it stopped, and left no checkpoint")
        _check_whole_lines(run)
    if run.exists():
        run.config()
        json.loads((run.folder / "environment.json").read_bytes())
    for checkpoint in run.checkpoints.glob("[0-9]*"):
        read_checkpoint(checkpoint)  # refuses what is not whole
    if list(run.checkpoints.glob(".*")):
        found.append("left half a checkpoint")
    if run.metrics_path.exists() and not run.metrics_path.read_bytes().endswith((b"", b"\n")):
        found.append("left a torn line")
    run.metrics()  # refuses empty, torn and double lines but for a torn last one
    return found


def _check_whole_lines(run: Run) -> None:
    """Check that the metrics end with a whole line."""
    if run.metrics_path.exists() and not ("\n" + run.metrics_path.read_text()).endswith("\n"):
        raise BrokenPromiseError(f"{run.metrics_path} ends with a torn line")


def _started(train: Train, arguments: list[str], said: Path) -> int:
    """Start the command in a process of its own, its standard error in a file; returns the process."""
    # Held back until the command takes care of them: before that the process is not yet the command.
    signal.pthread_sigmask(signal.SIG_BLOCK, _POLITE)
    process = os.fork()
    if process:
        _let_through()
        return process
    status = 1
    try:
        with said.open("w") as errors, open(os.devnull, "w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.stdout, sys.stderr = output, errors
            try:
                status = train(arguments, _let_through)
            except BaseException:
                traceback.print_exc()
    finally:
        os._exit(status)


def _let_through() -> None:
    """Let signals come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _POLITE)


def _wait(process: int) -> int:
    """Wait for a process; returns its exit status, minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _draw_letters(root: Path) -> None:
    """Write 30 classes of 4 images."""
    rng = numpy.random.default_rng(0)
    for number in range(30):
        letter = root / f"letter{number:02d}"
        letter.mkdir(parents=True)
        for drawing in range(4):
            Image.fromarray(rng.integers(256, size=(8, 8), dtype=numpy.uint8)).save(letter / f"{drawing}.png")
