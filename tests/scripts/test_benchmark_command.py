"""The command that compares: what it runs, skips, refuses and writes; and workers that are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data import ImageClasses, Split
from mann.benchmark import implementations as contestants
from mann.benchmark import schemes as addressing
from mann.benchmark import speed
from mann.benchmark.cells import run_cells
from mann.benchmark.schemes import QUICK, Size, cells
from mann.models.unrolling import plain
from mann.runs.run import Run

Command = Callable[..., Any]

TINY = Size({**QUICK.changes, "copy": {**QUICK.changes["copy"], "episodes": 64, "hidden_size": 6}}, validate=2)


@pytest.fixture
def benchmark(command: Command, script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Return what runs the command on tiny trainings, in this process."""
    monkeypatch.setattr(script("benchmark"), "QUICK", TINY)

    def run(*arguments: object) -> Any:
        return command("benchmark", "addressing", "--quick", "--jobs", 1, "--out", tmp_path / "out", *arguments)

    return run


def test_the_comparison_is_printed_and_written_and_not_run_again(
    benchmark: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--schemes", "ntm,lrua", "--tasks", "copy", "--seeds", 1)
    status, output, errors = benchmark(*options)
    assert (status, errors) == (0, "")
    assert "ntm" in output and "lrua" in output and "wrong bits a sequence" in output
    for kind in ("json", "csv", "md", "png"):
        assert str(tmp_path / "out" / f"addressing.{kind}") in output.replace("\n", "")
    content = json.loads((tmp_path / "out" / "addressing.json").read_text())
    assert [row["scheme"] for row in content["rows"]] == ["ntm", "lrua"]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/cell.json")}
    assert len(written) == 2
    assert benchmark(*options, "--seeds", 2).status == 0
    assert len(list((tmp_path / "out").glob("*/cell.json"))) == 4
    assert all(path.stat().st_mtime_ns == before for path, before in written.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no benchmark is named: python scripts/benchmark.py BENCHMARK, one of addressing, speed, episodes"),
        ("speeed", "no benchmark is named 'speeed': use one of addressing, speed, episodes"),
        ("speed --workloads w1,w9", "no workload is named 'w9': use all, or some of w1, w1-64"),
        ("speed --contestants tape", "no contestant is named 'tape': use all, or some of reference, fast"),
        ("speed --rounds 5", "--rounds 5: at least 6 are needed"),
        ("speed --threads 0", "--threads 0: at least 1 is needed"),
        ("episodes --rounds 5", "--rounds 5: at least 6 are needed"),
        ("episodes --dataset folder", "invalid choice 'folder' for argument '--dataset'"),
        ("addressing --schemes ntm,tape", "no scheme is named 'tape': use all, or some of ntm, content"),
        ("addressing --tasks sort", "no task is named 'sort': use all, or some of copy"),
        ("addressing --seeds 0", "--seeds 0: at least 1 is needed"),
        ("addressing --jobs 0", "--jobs 0: at least 1 is needed"),
        ("addressing --seeds three", "Error parsing --seeds"),
        ("addressing --nope", "Unrecognized options: --nope"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(refused: Callable[..., str], arguments: str, message: str) -> None:
    assert message in refused("benchmark", *arguments.split())


@pytest.mark.parametrize(
    ("arguments", "taught"),
    [
        ("", ("addressing", "speed", "episodes")),
        ("addressing", ("--dask", "--schemes")),
        ("speed", ("--growth", "--threads", "w2-32", "floor", "pip install dnc")),
        ("episodes", ("--dataset", "requirements-learn2learn.txt")),
    ],
)
def test_help_teaches(command: Command, arguments: str, taught: tuple[str, ...]) -> None:
    status, output, _ = command("benchmark", *arguments.split(), "--help")
    assert status == 0 and all(word in output for word in taught)


def test_speed_is_printed_and_written(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "fast", lambda: plain)
    for name, few in (("STEPS", (2, 3)), ("BATCHES", (1,)), ("SLOTS", (4,)), ("GROWING", ("ntm",))):
        monkeypatch.setattr(speed, name, few)
    out = tmp_path / "out"
    status, output, errors = command(
        *("benchmark", "speed", "--quick", "--growth", "--no-memory", "--rounds", 6, "--device", "cpu"),
        *("--workloads", "w2-1", "--contestants", "reference,fast,floor", "--out", out),
    )
    assert status == 0 and "reference" in output and "floor" in output
    assert errors.splitlines()[0].startswith("fast is left out of w2-1: there is no compiler here")
    content = json.loads((out / "speed.json").read_text())
    assert content["left_out"] == errors.splitlines()
    assert {row["curve"] for row in content["rows"]} == {None, "steps", "batch", "slots"}
    assert content["environment"]["command"].startswith("benchmark.py speed --quick")
    for name in ("speed.csv", "speed.md", "speed.png", "speed-growth.png"):
        assert str(out / name) in output.replace("\n", "") and (out / name).stat().st_size


def test_samplers_are_compared(command: Command, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"class{number:02d}" for number in range(20))
    images = torch.full((20, 10, 20, 20), 255, dtype=torch.uint8)
    small = ImageClasses(images, torch.full((20,), 10), names), Split(names[:12], names[12:16], names[16:])
    monkeypatch.setattr(script("benchmark"), "load", lambda *_: small)
    monkeypatch.setattr(contestants, "fast", lambda: plain)
    monkeypatch.setitem(sys.modules, "learn2learn.data", None)
    out = tmp_path / "out"
    status, output, errors = command("benchmark", "episodes", "--quick", "--rounds", 6, "--out", out)
    assert status == 0 and "ours" in output
    assert "learn2learn is left out (none): learn2learn is not installed" in errors
    content = json.loads((out / "episodes.json").read_text())
    assert [(row["sampler"], row["augmentation"]) for row in content["rows"]] == [("ours", "none"), ("ours", "jitter")]
    assert content["step"]["of"].startswith("reference") and content["step"]["share_of_sampling"]["median"] > 0


def test_no_scheduler_at_an_address_is_said_in_a_line(refused: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    line = refused(
        *("benchmark", "addressing", "--quick", "--schemes", "ntm", "--tasks", "copy", "--out", tmp_path / "out"),
        *("--dask", "tcp://127.0.0.1:9"),
    )
    assert "--dask tcp://127.0.0.1:9: no scheduler answers there" in line


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[Any]]]]:
    """Start a dask scheduler and two workers of a thread each, as docs/benchmarks.md says."""
    pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{free_port()}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    quiet: dict[str, Any] = {
        "cwd": tmp_path,
        "env": environment,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1], "--no-dashboard"], **quiet
    )
    worker = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    workers = [subprocess.Popen(worker, **quiet) for _ in range(2)]
    yield address, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def test_every_cell_is_run_once_though_a_worker_is_killed(
    cluster: tuple[str, list[subprocess.Popen[Any]]], tmp_path: Path
) -> None:
    address, workers = cluster
    slow = {**QUICK.changes["copy"], "episodes": 1600}
    todo = cells(tmp_path / "out", ["ntm", "lrua", "content"], ["copy"], 2, Size({"copy": slow}, validate=10))
    started = time.monotonic()

    def kill_a_worker(done: int) -> None:
        if done == 1:
            workers[0].send_signal(signal.SIGKILL)

    results = run_cells(todo, jobs=1, dask=address, report=kill_a_worker)
    assert workers[0].wait() == -signal.SIGKILL
    assert time.monotonic() - started < 300
    assert len(results) == len(todo) == 6
    assert [result["folder"] for result in results] == [cell.folder.name for cell in todo]
    for cell in todo:
        lines = Run(cell.folder).metrics()
        # Each step once: nothing was left out, nothing done twice.
        assert [line["step"] for line in lines] == list(range(2, 101, 2))
        assert len(list(cell.folder.glob("cell.json"))) == 1


def test_workers_end_with_the_command(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"
    arguments = ("addressing", "--quick", "--tasks", "copy", "--jobs", "2", "--out", str(tmp_path))
    command = subprocess.Popen(
        [sys.executable, str(script), *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while len(trained := [path.parent for path in tmp_path.glob("*/metrics.jsonl") if path.stat().st_size]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    command.terminate()
    said = command.communicate(timeout=60)[1]
    # joblib's tracker of files may add that one of them is gone already.
    assert said.startswith(b"interrupted\n") and b"Traceback" not in said
    assert command.returncode == 128 + signal.SIGTERM
    for folder in trained:
        with Run(folder).locked():  # refused as long as a worker lives
            pass


def test_quick_is_a_smaller_comparison_of_the_same_tasks() -> None:
    assert set(QUICK.changes) == set(addressing.FULL.changes)
    for task, changes in QUICK.changes.items():
        assert changes["episodes"] < addressing.FULL.changes[task]["episodes"]
    assert replace(QUICK, validate=1).validate == 1
