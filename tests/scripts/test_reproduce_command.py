"""The command that rebuilds the papers' tables: what it runs, stores, skips, refuses, and how it stops."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from mann.cli import reproduce as reproduce_command
from mann.cli import train as train_command
from mann.papers.recipes import PAPERS
from mann.papers.row_runs import small
from mann.runs import Run
from mann.settings import Config
from tests.scripts.running import Command, Refused

KNN = "strings-5-knn-pixels"


@pytest.fixture(scope="module")
def images(noise_images: Callable[[str, int, int], Path]) -> Path:
    """Return a folder of 200 classes of 10 images: enough to validate with, 20 in an episode, and to test on."""
    return noise_images("class", 200, 10)


@pytest.fixture
def commands_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Run the commands in this process; returns a list to which they are added."""
    found: list[list[str]] = []

    def run(name: str, arguments: Sequence[str]) -> int:
        found.append([name, *arguments])
        ended = command(name, *arguments)
        print(ended.errors, file=sys.stderr, end="")
        return ended.status

    monkeypatch.setattr(reproduce_command, "run", run)
    monkeypatch.setattr(reproduce_command, "small", partial(small, dataset="folder"))
    return found


@pytest.fixture
def reproduced(command: Command, images: Path, tmp_path: Path) -> Command:
    """Return a function that runs the command on tiny trainings."""
    return partial(command, "reproduce", "--smoke", "--root", images, "--runs", tmp_path / "runs")


def test_a_row_is_trained_evaluated_stored_and_shown_and_not_made_again(
    commands_run: list[list[str]], reproduced: Command, tmp_path: Path
) -> None:
    names = ("few-shot-5-memory", KNN, "one-hot-5-mann-conv")
    status, output, errors = reproduced(*names, "--seeds", 4)
    assert status == 0, errors
    docs = tmp_path / "runs" / "smoke" / "docs"
    # The row without seeds comes first; rows of one training share its run.
    trained = [words[words.index("--run") + 1] for name, *words in commands_run if name == "train"]
    assert [Path(folder).name for folder in trained] == [f"{KNN}-0", *["one-hot-5-mann-conv-4"] * 2]
    stored = {name: docs / "results" / name / f"seed-{0 if name == KNN else 4}.json" for name in names}
    contents = {name: json.loads(path.read_text()) for name, path in stored.items()}
    assert [contents[name]["task"] for name in names] == ["few-shot", "classification", "classification"]
    assert contents["one-hot-5-mann-conv"]["training"]["seed"] == 4 and contents[KNN]["training"] is None
    page = (docs / "results.md").read_text()
    assert page.count("| single seed |") == 2 and page.count("| nothing is trained |") == 1
    assert page.count("not measured yet") == len(small(PAPERS).rows) - len(names)
    accuracy = contents["one-hot-5-mann-conv"]["instances"][1]["accuracy"]
    beginning = "| MANN, convolutional encoder | ours | "
    (ours,) = [line for line in page.splitlines() if line.startswith(beginning) and "not measured" not in line]
    assert ours.split(" | ")[3].startswith(f"{100 * accuracy:.1f} (")
    assert (docs / "results" / "instances.png").stat().st_size

    commands_run.clear()
    before = {path: path.stat().st_mtime_ns for path in stored.values()}
    assert reproduced(*names, "--seeds", 4).status == 0
    assert commands_run == [] and all(path.stat().st_mtime_ns == time for path, time in before.items())
    status, output, _ = reproduced("--list", "--seeds", 4)
    done = {line.split()[0]: line.split()[-1] for line in output.splitlines() if line.split()}
    assert (done["one-hot-5-mann-conv"], done[KNN], done["one-hot-5-lstm"]) == ("4", "0", "-")


def test_an_encoder_is_trained_before_the_model_that_starts_from_it(
    commands_run: list[list[str]], reproduced: Command
) -> None:
    status, _, errors = reproduced("few-shot-5-memory-pretrained", "--seeds", 0)
    assert status == 0, errors
    runs = [words[words.index("--run") + 1] for name, *words in commands_run if name == "train"]
    assert [Path(run).name for run in runs] == ["one-hot-20-prototypes-0", "one-hot-5-mann-pretrained-0"]
    config = Run(Path(runs[1])).config()
    assert isinstance(config, Config) and config.encoder_from == Path(runs[0])


def test_a_row_that_needs_a_missing_package_is_left_out_unless_it_is_named(
    reproduced: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(reproduce_command, "find_spec", lambda package: None)
    monkeypatch.setattr(reproduce_command, "run", lambda name, arguments: started.append([name, *arguments]) or 9)
    status, _, errors = reproduced("few-shot-5-maml", "--seeds", 0)
    assert status == 9 and "maml" in started.pop() and "left out" not in errors
    monkeypatch.setattr(reproduce_command, "reproduce", lambda _, name, *__: started.append([name]))
    status, _, errors = reproduced("few-shot-5", "--seeds", 0)
    assert (status, errors) == (0, "few-shot-5-maml is left out: it needs learn2learn, see docs/one-shot.md\n")
    rows = [name for name, row in PAPERS.rows.items() if row.table == "few-shot-5"]
    assert started == [[name] for name in rows if name != "few-shot-5-maml"] and "few-shot-5-maml" in rows


def test_a_result_of_another_recipe_is_refused_before_the_work_begins(
    commands_run: list[list[str]], reproduced: Command, tmp_path: Path
) -> None:
    assert reproduced(KNN).status == 0
    path = tmp_path / "runs" / "smoke" / "docs" / "results" / KNN / "seed-0.json"
    path.write_text(path.read_text().replace('"split": "test"', '"split": "validation"'))
    commands_run.clear()
    status, _, errors = reproduced("one-hot-5-lstm")
    assert status == 2 and errors.count("\n") == 1
    assert "its split is 'validation', but the recipe says 'test'" in errors
    assert commands_run == []


def test_a_stopped_training_is_continued(
    commands_run: list[list[str]], reproduced: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        # Stopped before the first step, a training saves and ends with 128 and the signal's number.
        fit: Callable[..., None] = train_command.fit
        patch.setattr(train_command, "fit", lambda *given: fit(*given[:5], lambda: True, *given[6:]))
        status, _, errors = reproduced("one-hot-5-lstm", "one-hot-5-mann", "--seeds", 0)
    assert status == 128 + signal.SIGTERM and [name for name, *_ in commands_run] == ["train"]
    assert errors.splitlines()[-1] == "stopped; the same command goes on where it was"
    docs = tmp_path / "runs" / "smoke" / "docs"
    assert not list(docs.glob("results/*/*.json"))
    run = Run(tmp_path / "runs" / "smoke" / "one-hot-5-lstm-0")
    assert run.steps_done() == 1
    assert "seed 0: 50%" in reproduced("--list").output
    assert reproduced("one-hot-5-lstm", "--seeds", 0).status == 0
    assert run.steps_done() == 2
    assert [line["step"] for line in run.metrics()] == [2]
    assert len(list(docs.glob("results/*/*.json"))) == 1


SCRIPT = """
import signal, sys, time
if sys.argv[1:] == ["wait"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    open("ready", "w").close()
    time.sleep(60)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Return what runs a small script as the command runs others."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "wait.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce_command, "REPOSITORY", tmp_path)
    return partial(reproduce_command.run, "wait")


def test_a_command_that_fails_is_known_by_its_status(stand_in: Callable[..., int]) -> None:
    assert [stand_in([status]) for status in ("0", "2", "130")] == [0, 2, 130]


def test_a_command_that_was_killed_did_not_succeed(stand_in: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "scripts" / "wait.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert stand_in([]) == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_command_that_runs_too(
    stand_in: Callable[..., int], tmp_path: Path, number: signal.Signals
) -> None:
    stopped = threading.Event()

    def stop() -> None:
        while not (tmp_path / "ready").exists() and not stopped.wait(0.05):
            pass
        if number == signal.SIGINT:  # a terminal would have sent it to both
            (child,) = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[-1:]
            os.kill(int(child), signal.SIGTERM)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        assert stand_in(["wait"]) == 128 + number
    finally:
        stopped.set()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no row is named: python scripts/reproduce.py ROW, with ROW one of --list, a table, or all"),
        (("mann",), "no row or table is named 'mann': use all, one-hot-5, strings-5"),
        (("all", "--seeds", "zero"), "--seeds: expected [INT [INT ...]], found 'zero'"),
        (("all", "--seed", 1), "did you mean --seeds?"),
    ],
)
def test_wrong_options_are_refused(refused: Refused, arguments: Sequence[object], message: str) -> None:
    assert message in refused("reproduce", *arguments)


def test_help_teaches(command: Command) -> None:
    status, output, _ = command("reproduce", "--help")
    assert status == 0
    for words in ("--list", "--smoke", "--seeds", "--write", "strings-15", "mann/papers/recipes.py", "docs/results.md"):
        assert words in output
