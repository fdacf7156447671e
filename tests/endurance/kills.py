"""Trainings that are killed at random moments and resumed: they must end as if they had never been interrupted.

Every training is a process of its own that runs the training command and saves after every step, so that most signals
arrive while a checkpoint is being written.
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
from typing import Any, Final

import numpy
import torch
import torch._dynamo  # the optimisers would import it in every process
from PIL import Image
from torch import Tensor

from data import load
from mann.evaluation.instances import evaluate
from mann.evaluation.task_costs import evaluate_task
from mann.runs import Run, load_run, read_checkpoint
from mann.settings import TaskConfig
from tests.endurance import OnProgress

Train = Callable[[list[str], Callable[[], None]], int]
"""Runs the training command with arguments and returns its exit status. Calls the second once it handles signals."""

STEPS = 200
_NETWORK = "--device cpu --save-seconds 0 --hidden-size 8 --slots 6 --word-size 4 --batch 2"
SUBJECTS: Final[Mapping[str, str]] = {
    "classification": f"folder --size 8 --classes 2 --presentations 2 {_NETWORK}",
    "copy": f"copy --sizes.bits 3 --sizes.longest 4 {_NETWORK}",
}
"""The trainings by name: arguments of the training command, without the folders and the number of episodes."""
_HANDLED = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = (signal.SIGKILL, *_HANDLED)


class BrokenPromiseError(AssertionError):
    """A killed training left files, or reached a result, that the documentation rules out."""


def endure_kills(train: Train, count: int, folder: Path, progress: OnProgress, steps: int = STEPS) -> dict[str, Any]:
    """Kill trainings of `SUBJECTS` `count` times, resume them, and compare each with an uninterrupted one.

    Args:
        train: The training command. Processes are forked from this one, which therefore must have no threads.
        count: Kills, divided among the subjects.
        folder: Where the trainings are stored.
        progress: Receives the number of kills so far.
        steps: Length of a training.

    Raises:
        BrokenPromiseError: a training that was killed differs, or left damaged files.
    """
    torch.set_num_threads(1)
    write_letters(folder / "letters")
    found, done = {}, 0
    for left, (name, arguments) in zip(range(len(SUBJECTS), 0, -1), SUBJECTS.items(), strict=True):
        command = [*arguments.split(), "--episodes", str(2 * steps)]
        if name == "classification":
            command += ["--root", str(folder / "letters")]
        kills = (count - done) // left
        progress_after = partial(_progress_after, progress, done)
        found[name] = _endure(train, command, kills, folder / name, progress_after)
        done += kills
    return {"steps": steps, "subjects": found}


def _progress_after(progress: OnProgress, before: int, done: int) -> None:
    """Report the kills of a subject, added to those of the subjects before it."""
    progress(before + done)


def _endure(train: Train, arguments: Sequence[str], count: int, folder: Path, progress: OnProgress) -> dict[str, Any]:
    """Kill the training of one subject `count` times; returns how often each outcome occurred."""
    folder.mkdir(parents=True)
    log = folder / "stderr.txt"
    began = time.monotonic()
    uninterrupted = Run(folder / "uninterrupted")
    status = _wait(_start(train, [*arguments, "--run", str(uninterrupted.folder)], log))
    if status:
        raise BrokenPromiseError(f"the training ended with status {status}: {log.read_text()}")
    longest = (time.monotonic() - began) / 3
    expected = outcome(uninterrupted)
    generator = random.Random(len(arguments))
    counted: Counter[str] = Counter()
    kills = 0
    while kills < count:
        run = Run(folder / "killed")
        command = [*arguments, "--run", str(run.folder), "--resume"]
        while True:
            process = _start(train, command, log)
            number = None
            if kills < count:
                time.sleep(generator.uniform(0, longest))
                number = generator.choice(_SIGNALS)
                os.kill(process, number)
            status = _wait(process)
            if status == 0:  # it finished before the signal arrived
                break
            if number is None:
                raise BrokenPromiseError(f"ended with status {status} though no signal was sent: {log.read_text()}")
            kills += 1
            progress(kills)
            counted.update([number.name, *check_killed(run, number, status, log.read_text())])
        if has_torn_line(run):
            raise BrokenPromiseError(f"{run.metrics_path} ends with a torn line")
        for part, value in outcome(run).items():
            if value != expected[part]:
                raise BrokenPromiseError(f"{part} of a training that was killed differs: {run.folder}")
        counted.update(["identical trainings"])
        shutil.rmtree(run.folder)
    return dict(sorted(counted.items()))


def write_letters(root: Path) -> None:
    """Write 30 classes of 4 images."""
    rng = numpy.random.default_rng(0)
    for number in range(30):
        letter = root / f"letter{number:02d}"
        letter.mkdir(parents=True)
        for image in range(4):
            Image.fromarray(rng.integers(256, size=(8, 8), dtype=numpy.uint8)).save(letter / f"{image}.png")


def outcome(run: Run) -> dict[str, Any]:
    """Return the result of a finished run in a form in which equal means equal bit for bit."""
    checkpoint = run.last_checkpoint()
    if checkpoint is None:
        raise BrokenPromiseError(f"{run.folder} is finished, but has no checkpoint")
    cpu = torch.device("cpu")
    loaded = load_run(run, cpu)
    if isinstance(loaded.config, TaskConfig):
        evaluation = evaluate_task(loaded.model, loaded.config, cpu, sequences=2)
    else:
        config, split = loaded.classification
        classes, _ = load(config.dataset, config.root, config.size, str(run.split_path))
        evaluation = evaluate(loaded.model, config, classes, split, episodes=50)
    return {
        "step": checkpoint.step,
        "weights": _bits(checkpoint.weights),
        "training": _bits(checkpoint.training),
        "metrics": [_bits(line) for line in run.metrics()],
        "evaluation": evaluation,
    }


def _bits(content: Any) -> Any:
    """Return nested containers with digests in place of tensors, without the seconds."""
    if isinstance(content, Tensor):
        digest = hashlib.sha256(content.contiguous().numpy().tobytes()).hexdigest()
        return str(content.dtype), tuple(content.shape), digest
    if isinstance(content, Mapping):
        return {key: _bits(value) for key, value in content.items() if key != "seconds"}
    if isinstance(content, list | tuple):
        return [_bits(value) for value in content]
    return content


def check_killed(run: Run, number: signal.Signals, status: int, errors: str) -> list[str]:
    """Check the run folder and the messages of a training that a signal ended.

    Args:
        run: The run; its folder need not exist yet.
        number: The signal.
        status: Exit status of the process, the signal's number negated where the signal itself ended it.
        errors: Standard error of the process.

    Returns:
        The outcomes to count: "stopped with a checkpoint", "left half a checkpoint", "left a torn line".

    Raises:
        BrokenPromiseError: the status, the last message, or a missing checkpoint is not as documented, or a signal
            that the command handles left a torn line.
        InputError: a file that has to be whole is damaged.
    """
    found = []
    if number is signal.SIGKILL:
        if status != -number:
            raise BrokenPromiseError(f"SIGKILL ended with status {status}: {errors}")
    elif _check_handled(run, number, status, errors):
        found.append("stopped with a checkpoint")
    if run.exists():
        run.config()
        json.loads((run.folder / "environment.json").read_bytes())
    for checkpoint in run.checkpoints.glob("[0-9]*"):
        read_checkpoint(checkpoint)  # raises where it is not whole
    if list(run.checkpoints.glob(".*")):
        found.append("left half a checkpoint")
    if has_torn_line(run):
        found.append("left a torn line")
    run.metrics()  # raises on empty, torn and repeated lines, except for a torn last one
    return found


def _check_handled(run: Run, number: signal.Signals, status: int, errors: str) -> bool:
    """Check the end of a training that handles the signal; returns whether it stopped with a checkpoint."""
    last = "".join(errors.splitlines()[-1:])
    if status != 128 + number or "Traceback" in errors or not last.startswith(("stopped", "interrupted")):
        raise BrokenPromiseError(f"{number.name} ended with status {status}: {errors}")
    if has_torn_line(run):
        raise BrokenPromiseError(f"{number.name} left a torn line in {run.metrics_path}")
    stopped = last.startswith("stopped")
    if stopped and not run.steps_done():
        raise BrokenPromiseError(f"{number.name} was reported as a stop, but left no checkpoint")
    return stopped


def has_torn_line(run: Run) -> bool:
    """Return whether the last line of the metrics was cut off while it was being written."""
    content = run.metrics_path.read_bytes() if run.metrics_path.exists() else b""
    return content != b"" and not content.endswith(b"\n")


def _start(train: Train, arguments: list[str], log: Path) -> int:
    """Start the command in a process of its own, its standard error in a file; returns the process id."""
    # Blocked until the command has installed its handlers: before that the process is not yet the command.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    process = os.fork()
    if process:
        _unblock_signals()
        return process
    status = 1
    try:
        with log.open("w") as errors, open(os.devnull, "w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.stdout, sys.stderr = output, errors
            try:
                status = train(arguments, _unblock_signals)
            except BaseException:
                traceback.print_exc()
    finally:
        os._exit(status)


def _unblock_signals() -> None:
    """Deliver the signals that were blocked."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)


def _wait(process: int) -> int:
    """Wait for a process; returns its exit status, minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
