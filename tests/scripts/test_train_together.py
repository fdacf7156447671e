"""Processes that train together: they end where one process ends, stop together and continue in any number."""

import itertools
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from mann.cli import train as train_command
from mann.cli.failures import one_line_errors
from mann.runs import Run, RunReader
from tests.scripts.running import OF_MEMORY, SCRIPTS, Command, without

# Three sequences a batch: the processes' shards are not of one size.
COPY = (
    "train copy --sizes.bits 3 --sizes.longest 3 --controller lstm --hidden-size 6 --slots 4 --word-size 3 --batch 3 "
    "--episodes 36"
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a server that forks")


class Process(NamedTuple):
    """How a process ended, and its output."""

    status: int | None
    text: str


def stopping_after(steps: int, rank: str) -> Callable[[], Any]:
    """Return a stand-in for `caught_signals` with which one process is to stop after so many steps."""

    @contextmanager
    def caught() -> Iterator[Callable[[], int]]:
        asked = itertools.count(1)
        chosen = os.environ.get("RANK", "0") == rank
        yield lambda: signal.SIGTERM if chosen and next(asked) >= steps else 0

    return caught


@contextmanager
def dying() -> Iterator[Callable[[], int]]:
    """Stand in for `caught_signals`: the second process ends without a message."""
    yield lambda: os._exit(9) if os.environ["RANK"] == "1" else 0


def train_in(rank: int, size: int, port: int, output: Path, arguments: list[str], caught: Any, blind: bool) -> None:
    """Run the training command as torchrun would; blind: only the first process sees the checkpoints."""
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": f"{size}"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    if caught is not None:
        stand_in = caught() if isinstance(caught, partial) else caught
        train_command.caught_signals = stand_in
    if blind:
        RunReader.restore = lambda *_: None  # pyright: ignore[reportAttributeAccessIssue]
    with output.open("w") as file:
        sys.stdout = sys.stderr = file
        with one_line_errors():
            sys.exit(train_command.main(arguments))


@pytest.fixture
def together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Process]]:
    """Return a function that runs the training command in several processes, as torchrun does.

    They are forked from a server that has imported all but computed nothing: OpenMP does not outlive a fork.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    numbers = itertools.count()

    def run(*arguments: object, processes: int = 2, caught: Any = None, blind: bool = False) -> list[Process]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        outputs = [tmp_path / f"output-{next(numbers)}.txt" for _ in range(processes)]
        given = [str(argument) for argument in arguments[1:]]
        started = [
            context.Process(target=train_in, args=(rank, processes, port, output, given, caught, blind))
            for rank, output in enumerate(outputs)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(120)
        return [Process(process.exitcode, output.read_text()) for process, output in zip(started, outputs, strict=True)]

    return run


def weights(run: Path) -> dict[str, Tensor]:
    """Return the weights of the last checkpoint."""
    checkpoint = Run(run).last_checkpoint()
    assert checkpoint is not None
    return dict(checkpoint.weights)


def assert_alike(one: Path, other: Path) -> None:
    """Check that two runs ended alike, to rounding: weights, optimiser, metrics."""
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-3, atol=1e-5)
    mine, theirs = Run(one).metrics(), Run(other).metrics()
    assert [line["step"] for line in mine] == [line["step"] for line in theirs]
    for line, same in zip(mine, theirs, strict=True):
        for name in set(line) - {"seconds"}:
            assert line[name] == pytest.approx(same[name], rel=1e-3, abs=1e-6), name


@pytest.fixture
def subjects(tiny: list[object]) -> dict[str, list[object]]:
    """Return the arguments of two trainings of 12 steps, but for --run."""
    return {"folder": [*tiny, "--batch", 3, "--episodes", 36], "copy": [*COPY.split()]}


@pytest.mark.parametrize("subject", ["folder", "copy"])
def test_two_processes_end_with_the_weights_of_one(
    command: Command, together: Callable[..., list[Process]], subjects: Any, subject: str, tmp_path: Path
) -> None:
    assert command(*subjects[subject], "--run", tmp_path / "one").status == 0
    first, second = together(*subjects[subject], "--run", tmp_path / "two")
    assert (first.status, second.status) == (0, 0)
    assert_alike(tmp_path / "one", tmp_path / "two")
    # Only one of them prints and writes.
    assert "trained; next" in first.text and second.text == ""
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2


def test_a_training_continues_with_another_number_of_processes(
    command: Command,
    together: Callable[..., list[Process]],
    subjects: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = subjects["copy"]
    assert command(*arguments, "--run", tmp_path / "one").status == 0
    first, second = together(*arguments, "--run", tmp_path / "two", caught=partial(stopping_after, 4, "1"))
    # Only the second was stopped; both ended after the same step, and the first saved.
    assert (first.status, second.status) == (143, 143) and "stopped; go on with" in first.text
    assert Run(tmp_path / "two").steps_done() == 4
    with monkeypatch.context() as patch:
        patch.setattr(train_command, "caught_signals", stopping_after(4, "0"))
        assert command(*arguments, "--run", tmp_path / "two", "--resume").status == 143
    assert Run(tmp_path / "two").steps_done() == 8
    ended = together(*arguments, "--run", tmp_path / "two", "--resume", blind=True)  # as where there is another disk
    assert [one.status for one in ended] == [2, 2] and "they need one disk" in ended[0].text
    assert [one.status for one in together(*arguments, "--run", tmp_path / "two", "--resume", processes=3)] == [0] * 3
    assert_alike(tmp_path / "one", tmp_path / "two")


def test_when_a_process_is_lost_the_others_report_it(
    together: Callable[..., list[Process]], subjects: Any, tmp_path: Path
) -> None:
    first, second = together(*subjects["copy"], "--run", tmp_path / "two", caught=dying)
    assert (first.status, second.status) == (1, 9)
    assert first.text.splitlines()[-1] == "error: another of the processes that train together has ended"
    assert "Traceback" not in first.text


def test_wrong_options_are_refused_by_all(
    together: Callable[..., list[Process]], subjects: Any, tmp_path: Path
) -> None:
    ended = together(*subjects["copy"], "--batch", 1, "--run", tmp_path / "two")
    assert [one.status for one in ended] == [2, 2]
    assert "--batch 1 cannot be shared by 2 processes: start fewer of them" in ended[0].text
    assert not (tmp_path / "two").exists()


def test_torchrun_trains_and_sigterm_ends_all_with_a_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    # Without a memory nothing is compiled.
    plain = without([*COPY.split()[1:-1], "1000000"], *OF_MEMORY)
    arguments = [*plain, "--model", "recurrent", "--run", run]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent), "PYTHONWARNINGS": "ignore"}
    errors = tmp_path / "errors.txt"
    with errors.open("w") as file:
        process = subprocess.Popen(
            [*torchrun, SCRIPTS / "train.py", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    try:
        deadline = time.monotonic() + 200
        while not Run(run).metrics() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
    finally:
        process.kill()
    assert "stopped; go on with" in errors.read_text(), errors.read_text()
    assert Run(run).steps_done() >= 100
