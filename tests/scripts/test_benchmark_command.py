"""The command benchmark: the comparisons it makes and writes, its errors, and workers that are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data import ImageClasses, Split
from mann.benchmark import cells as parallel_cells
from mann.benchmark import implementations, speed
from mann.benchmark.cells import run_cells
from mann.benchmark.schemes import QUICK, Size, cells
from mann.cli import benchmark as benchmark_command
from mann.runs import Run
from tests.scripts.running import Command, Refused

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = Size({**QUICK.changes, "copy": {**QUICK.changes["copy"], "episodes": 64, "hidden_size": 6}}, validate=2)


@pytest.fixture
def benchmark(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Return a function that compares schemes in tiny trainings."""
    monkeypatch.setattr(benchmark_command, "QUICK", TINY)

    def run(*arguments: object) -> Any:
        return command("benchmark", "addressing", "--quick", "--jobs", 1, "--out", tmp_path / "out", *arguments)

    return run


def test_the_comparison_is_printed_and_written_and_not_run_again(
    benchmark: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--schemes", "ntm,lrua", "--tasks", "copy", "--seeds", 1)
    status, output, errors = benchmark(*options)
    assert (status, errors) == (0, "")
    assert "ntm" in output and "lrua" in output and "wrong bits per sequence" in output
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
        ("", "no benchmark is named: use one of addressing, suites, speed, episodes"),
        ("--quick", "no benchmark is named: use one of addressing, suites, speed, episodes"),
        ("speeed", "no benchmark is named 'speeed': use one of addressing, suites, speed, episodes"),
        ("speed --workloads w1,w9", "no workload is named 'w9': use all, or some of w1, w1-64"),
        ("speed --implementations tape", "no implementation is named 'tape': use all, or some of reference, fast"),
        ("speed --contestants tape", "no implementation is named 'tape': use all, or some of reference, fast"),
        ("speed --rounds 5", "--rounds is 5: at least 6 are needed"),
        ("speed --threads 0", "--threads is 0: at least 1 is needed"),
        ("speed --implementation fast", "unrecognized options: --implementation fast; did you mean --implementations"),
        ("episodes --rounds 5", "--rounds is 5: at least 6 are needed"),
        ("episodes --dataset folder", "--dataset: 'folder' is not one of strokes, omniglot"),
        ("addressing --schemes ntm,tape", "no scheme is named 'tape': use all, or some of ntm, content"),
        ("addressing --tasks sort", "no task is named 'sort': use all, or some of copy"),
        ("addressing --seeds 0", "--seeds is 0: at least 1 is needed"),
        ("addressing --jobs 0", "--jobs is 0: at least 1 is needed"),
        ("addressing --seeds three", "--seeds: "),
        ("suites --suite mad", "no suite is named 'mad': use all, or some of chomsky, recall, tracking, copy"),
        ("suites --schemes ntm,gru", "no scheme is named 'gru': use all, or some of ntm, content"),
        ("suites --budget 0", "--budget is 0.0: use minutes above 0"),
        ("suites --budget soon", "--budget: "),
        ("suites --seeds 0", "--seeds is 0: at least 1 is needed"),
        ("suites --jobs 0", "--jobs is 0: at least 1 is needed"),
        ("addressing --nope", "unrecognized options: --nope"),
    ],
)
def test_mistakes_are_one_line_errors(refused: Refused, arguments: str, message: str) -> None:
    assert message in refused("benchmark", *arguments.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ("addressing", "suites", "speed", "episodes")),
        ("addressing", ("--dask", "--schemes")),
        ("suites", ("--budget", "--suite", "transformer", "Deletang", "docs/suites.md")),
        ("speed", ("--growth", "--threads", "--implementations", "w2-32", "floor", "pip install dnc")),
        ("episodes", ("--dataset", "requirements-learn2learn.txt")),
    ],
)
def test_help_names_options_and_choices(command: Command, arguments: str, words: tuple[str, ...]) -> None:
    status, output, _ = command("benchmark", *arguments.split(), "--help")
    assert status == 0 and all(word in output for word in words)


def test_speed_is_printed_and_written(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementations, "has_compiler", lambda: False)
    for name, few in (("STEPS", (2, 3)), ("BATCHES", (1,)), ("SLOTS", (4,)), ("GROWING", ("ntm",))):
        monkeypatch.setattr(speed, name, few)
    out = tmp_path / "out"
    status, output, errors = command(
        *("benchmark", "speed", "--quick", "--growth", "--no-memory", "--rounds", 6, "--device", "cpu"),
        *("--workloads", "w2-1", "--implementations", "reference,fast,floor", "--out", out),
    )
    assert status == 0 and "reference" in output and "floor" in output
    assert errors.splitlines()[0].startswith("fast is left out of w2-1: there is no compiler here")
    content = json.loads((out / "speed.json").read_text())
    assert {row["implementation"] for row in content["rows"]} == {"reference", "floor"}
    assert content["left_out"] == errors.splitlines()
    assert {row["curve"] for row in content["rows"]} == {None, "steps", "batch", "slots"}
    assert content["environment"]["command"].startswith("benchmark.py speed --quick")
    for name in ("speed.csv", "speed.md", "speed.png", "speed-growth.png"):
        assert str(out / name) in output.replace("\n", "") and (out / name).stat().st_size


def test_samplers_are_compared(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(f"class{number:02d}" for number in range(20))
    images = torch.full((20, 10, 20, 20), 255, dtype=torch.uint8)
    small = ImageClasses(images, torch.full((20,), 10), names), Split(names[:12], names[12:16], names[16:])
    monkeypatch.setattr(benchmark_command, "load", lambda *_: small)
    monkeypatch.setattr(implementations, "has_compiler", lambda: False)
    monkeypatch.setitem(sys.modules, "learn2learn.data", None)
    out = tmp_path / "out"
    status, output, errors = command("benchmark", "episodes", "--quick", "--rounds", 6, "--out", out)
    assert status == 0 and "ours" in output
    assert "learn2learn is left out (none): learn2learn is not installed" in errors
    content = json.loads((out / "episodes.json").read_text())
    assert [(row["sampler"], row["augmentation"]) for row in content["rows"]] == [("ours", "none"), ("ours", "jitter")]
    assert content["step"]["of"].startswith("reference") and content["step"]["share_of_sampling"]["median"] > 0


def test_an_address_without_a_scheduler_is_a_one_line_error(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(parallel_cells, "SCHEDULER_TIMEOUT", 1)
    line = refused(
        *("benchmark", "addressing", "--quick", "--schemes", "ntm", "--tasks", "copy", "--out", tmp_path / "out"),
        *("--dask", "tcp://127.0.0.1:9"),
    )
    assert "--dask tcp://127.0.0.1:9: no scheduler answers at this address" in line


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[Any]]]]:
    """Start a dask scheduler and two workers with one thread each, as docs/benchmarks.md describes."""
    pytest.importorskip("distributed")
    address = f"tcp://127.0.0.1:{free_port()}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
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
    slow = {**QUICK.changes["copy"], "episodes": 800}
    todo = cells(tmp_path / "out", ["lrua", "content"], ["copy"], 2, Size({"copy": slow}, validate=10))
    started = time.monotonic()

    def kill_a_worker(done: int) -> None:
        if done == 1:
            workers[0].send_signal(signal.SIGKILL)

    results = run_cells(todo, jobs=1, dask=address, report=kill_a_worker)
    assert workers[0].wait() == -signal.SIGKILL
    assert time.monotonic() - started < 300
    assert len(results) == len(todo) == 4
    assert [result["folder"] for result in results] == [cell.folder.name for cell in todo]
    for cell in todo:
        lines = Run(cell.folder).metrics()
        # Each step once: none is missing, and none was repeated.
        assert [line["step"] for line in lines] == list(range(2, 51, 2))
        assert len(list(cell.folder.glob("cell.json"))) == 1


UNCOMPILED = f"""
import sys
from mann.benchmark import schemes
from mann.cli import benchmark
from mann.cli.failures import one_line_errors
few = {{**schemes.QUICK.changes["copy"], "episodes": {16 * 499}}}
benchmark.QUICK = schemes.Size({{"copy": few}}, validate=50)
with one_line_errors():
    sys.exit(benchmark.main(sys.argv[1:]))
"""
"""The command with trainings that are too short to be compiled first."""


def test_workers_end_with_the_command(tmp_path: Path) -> None:
    arguments = ("addressing", "--quick", "--tasks", "copy", "--jobs", "2", "--out", str(tmp_path))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", UNCOMPILED, *arguments], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE
    ) as command:
        try:
            deadline = time.monotonic() + 300
            while len(trained := [path.parent for path in tmp_path.glob("*/metrics.jsonl") if path.stat().st_size]) < 2:
                assert command.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            command.terminate()
        errors = command.communicate(timeout=60)[1]
    # joblib's resource tracker may add a line about a file that no longer exists.
    assert errors.startswith(b"interrupted\n") and b"Traceback" not in errors
    assert command.returncode == 128 + signal.SIGTERM
    for folder in trained:
        with Run(folder).locked():  # refused as long as a worker lives
            pass


def test_suites_are_compared_and_not_run_again(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--suite", "tracking", "--schemes", "delta,lstm", "--jobs", 1, "--out", out)
    status, output, errors = command("benchmark", "suites", "--quick", *options)
    assert (status, errors) == (0, "")
    assert "S5" in output and "delta" in output and "Summary" in output
    for name in ("suites.json", "suites.csv", "suites.md", "suites.html", "suite-tracking.png"):
        assert str(out / name) in output.replace("\n", "") and (out / name).stat().st_size
    content = json.loads((out / "suites.json").read_text())
    assert [(row["column"], row["model"]) for row in content["rows"]] == [
        *(("S5", "delta"), ("S5", "lstm"), ("parity", "delta"), ("parity", "lstm"))
    ]
    written = {path: path.stat().st_mtime_ns for path in out.glob("*/cell.json")}
    assert len(written) == 4 and command("benchmark", "suites", "--quick", *options).status == 0
    assert all(path.stat().st_mtime_ns == before for path, before in written.items())


def test_the_trainings_that_are_done_are_written_without_training_others(
    command: Command, refused: Refused, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--quick", "--suite", "tracking", "--jobs", 1, "--out", out)
    assert "no training of this comparison in" in refused("benchmark", "suites", *options, "--write")
    assert command("benchmark", "suites", *options, "--schemes", "lstm").status == 0
    assert command("benchmark", "suites", *options, "--schemes", "lstm,delta", "--write").status == 0
    content = json.loads((out / "suites.json").read_text())
    assert [row["model"] for row in content["rows"]] == ["lstm", "lstm"]
    assert len(list(out.glob("*/config.json"))) == 2
