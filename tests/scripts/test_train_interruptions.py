"""A training that is stopped, or whose disk is full, continues and ends as without that."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mann.runs import Run
from tests.scripts.running import SCRIPTS, Command, metrics, weights

SMALL_COPY = (
    "train copy --sizes.bits 3 --sizes.longest 4 --hidden-size 8 --slots 8 --word-size 4 --batch 2 --episodes 40"
)
"""A training of 20 steps."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_disk_that_is_full_or_read_only_costs_no_checkpoint(command: Command, small_disk: Path, tmp_path: Path) -> None:
    whole, run, filler = tmp_path / "whole", small_disk / "run", small_disk / "filler"
    settings = [*SMALL_COPY.split(), "--save-seconds", 0]
    assert command(*settings, "--run", whole).status == 0
    checkpoint = sum(path.stat().st_size + 4096 for path in (whole / "checkpoints" / "000000020").iterdir())
    free = os.statvfs(small_disk)
    # Room for two checkpoints, not for a third.
    filler.write_bytes(bytes(free.f_bavail * free.f_frsize - int(2.7 * checkpoint)))
    status, _, errors = command(*settings, "--run", run)
    assert status == 2
    assert re.fullmatch(
        rf"error: run folder {run} cannot be written to \(No space left on device\); its last whole checkpoint is of "
        r"step \d+: put that right, then continue with --resume\n",
        errors,
    ), errors
    done = Run(run).steps_done()
    assert 0 < done < 20 and weights(run)
    resume = ["train", "copy", "--run", run, "--resume"]
    remount = ["mount", "-o", "remount,ro", small_disk]
    subprocess.run(remount, check=True)
    status, _, errors = command(*resume)
    assert status == 2 and errors.count("\n") == 1
    assert "cannot be written to (Read-only file system)" in errors and f"is of step {done}: " in errors
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    filler.unlink()
    assert command(*resume).status == 0
    assert (weights(run), metrics(run)) == (weights(whole), metrics(whole))


def wait_for_training(run: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a training is under way."""
    deadline = time.monotonic() + 120
    while not (run / "tensorboard").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)


def test_signals_end_with_a_checkpoint_and_resume_ends_as_without_them(
    command: Command, tiny: list[object], tmp_path: Path
) -> None:
    settings = [*tiny, "--episodes", 480, "--seed", 3]
    stopped = {signal.SIGINT: tmp_path / "in terrupted", signal.SIGTERM: tmp_path / "terminated"}
    processes = {
        number: subprocess.Popen(
            [sys.executable, SCRIPTS / "train.py", *map(str, settings[1:]), "--run", run],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, run in stopped.items()
    }
    for number, process in processes.items():
        wait_for_training(stopped[number], process)
        process.send_signal(number)
    whole = tmp_path / "whole"
    assert command(*settings, "--run", whole).status == 0
    for number, process in processes.items():
        run = stopped[number]
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 128 + number, errors
        folder = f"'{run}'" if " " in str(run) else str(run)
        assert errors == f"stopped; go on with: python scripts/train.py folder --run {folder} --resume\n"
        assert 0 < Run(run).steps_done() < 240
        assert command("train", "folder", "--run", run, "--resume").status == 0
        assert weights(run) == weights(whole)
        assert metrics(run) == metrics(whole)
