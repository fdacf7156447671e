"""The command that rebuilds the papers' tables: what it runs, stores, skips, refuses, and how it stops."""

import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mann.papers.recipes import PAPERS, small
from mann.runs.run import Run
from mann.settings.schema import WITHOUT_MEMORY, Config, checked

Command = Callable[..., Any]

KNN = "strings-5-knn-pixels"


@pytest.fixture(scope="module")
def drawings(of_noise: Callable[[str, int, int], Path]) -> Path:
    """Return a folder of 200 classes of 10 images: enough to validate with, 20 in an episode, and to test on."""
    return of_noise("class", 200, 10)


@pytest.fixture
def ran(command: Command, script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let the commands run in this process; returns a list to which those that were run are added."""
    reproduce, said = script("reproduce"), []

    def run(name: str, arguments: Sequence[str]) -> int:
        assert (reproduce.SCRIPTS / name).exists()
        said.append([name, *arguments])
        return command(name.removesuffix(".py"), *arguments).status

    monkeypatch.setattr(reproduce, "run", run)
    monkeypatch.setattr(reproduce, "small", partial(small, dataset="folder"))
    return said


@pytest.fixture
def reproduced(command: Command, drawings: Path, tmp_path: Path) -> Command:
    """Return what runs the command on tiny trainings."""
    return partial(command, "reproduce", "--smoke", "--root", drawings, "--runs", tmp_path / "runs")


def test_a_row_is_trained_evaluated_stored_and_shown_and_not_made_again(
    ran: list[list[str]], reproduced: Command, tmp_path: Path
) -> None:
    names = ("few-shot-5-memory", KNN, "one-hot-5-mann-conv")
    status, output, errors = reproduced(*names, "--seeds", 4)
    assert (status, errors) == (0, "")
    docs = tmp_path / "runs" / "smoke" / "docs"
    # The row without seeds comes first; rows of one training share its run.
    trained = [words[words.index("--run") + 1] for name, *words in ran if name == "train.py"]
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

    ran.clear()
    before = {path: path.stat().st_mtime_ns for path in stored.values()}
    assert reproduced(*names, "--seeds", 4).status == 0
    assert ran == [] and all(path.stat().st_mtime_ns == time for path, time in before.items())
    status, output, _ = reproduced("--list", "--seeds", 4)
    done = {line.split()[0]: line.split()[-1] for line in output.splitlines() if line.split()}
    assert (done["one-hot-5-mann-conv"], done[KNN], done["one-hot-5-lstm"]) == ("4", "0", "-")


def test_an_encoder_is_trained_before_what_starts_from_it(ran: list[list[str]], reproduced: Command) -> None:
    status, _, errors = reproduced("few-shot-5-memory-pretrained", "--seeds", 0)
    assert (status, errors) == (0, "")
    runs = [words[words.index("--run") + 1] for name, *words in ran if name == "train.py"]
    assert [Path(run).name for run in runs] == ["one-hot-20-prototypes-0", "one-hot-5-mann-pretrained-0"]
    config = Run(Path(runs[1])).config()
    assert isinstance(config, Config) and config.encoder_from == Path(runs[0])


def test_what_takes_a_package_that_is_not_installed_is_left_out_unless_it_is_named(
    ran: list[list[str]], reproduced: Command, script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script("reproduce"), "find_spec", lambda package: None)
    monkeypatch.setattr(script("reproduce"), "run", lambda name, arguments: ran.append([name, *arguments]) or 9)
    status, _, errors = reproduced("few-shot-5-maml", "--seeds", 0)
    assert status == 9 and "maml" in ran.pop() and "left out" not in errors
    monkeypatch.setattr(script("reproduce"), "reproduce", lambda _, name, *__: ran.append([name]))
    status, _, errors = reproduced("few-shot-5", "--seeds", 0)
    assert (status, errors) == (0, "few-shot-5-maml is left out: it needs learn2learn, see docs/one-shot.md\n")
    rows = [name for name, row in PAPERS.rows.items() if row.table == "few-shot-5"]
    assert ran == [[name] for name in rows if name != "few-shot-5-maml"] and "few-shot-5-maml" in rows


def test_what_is_stored_by_another_recipe_is_refused_before_the_work_begins(
    ran: list[list[str]], reproduced: Command, tmp_path: Path
) -> None:
    assert reproduced(KNN).status == 0
    path = tmp_path / "runs" / "smoke" / "docs" / "results" / KNN / "seed-0.json"
    path.write_text(path.read_text().replace("--nearest", "--part validation"))
    ran.clear()
    status, _, errors = reproduced("one-hot-5-lstm")
    assert status == 2 and errors.count("\n") == 1 and "but the recipe says '--nearest" in errors
    assert ran == []


def test_what_was_stopped_goes_on(
    ran: list[list[str]],
    reproduced: Command,
    script: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    train = script("train")
    with monkeypatch.context() as patch:
        # Told to stop before the first step, a training saves and ends with 128 and the signal's number.
        fit = train.fit
        patch.setattr(train, "fit", lambda *given: fit(*given[:5], lambda: True, *given[6:]))
        status, _, errors = reproduced("one-hot-5-lstm", "one-hot-5-mann", "--seeds", 0)
    assert status == 128 + signal.SIGTERM and [name for name, *_ in ran] == ["train.py"]
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


def settings(script: Callable[[str], Any], training: str) -> Config:
    """Return the settings of a row's training."""
    task, *arguments = training.split()
    start = script("train").starting_point(task, arguments)
    config = checked(script("commands").parse(script("train").Options, arguments, default=start).config)
    assert isinstance(config, Config)
    return config


@pytest.mark.parametrize("name", small(PAPERS).rows)
def test_a_small_recipe_has_episodes_as_long_as_it_says(script: Callable[[str], Any], name: str) -> None:
    config = settings(script, small(PAPERS).rows[name].training)
    assert config.length is None or config.length <= config.classes * config.presentations


@pytest.mark.parametrize("name", PAPERS.rows)
def test_a_recipe_is_of_its_table_and_of_settings_that_there_are(script: Callable[[str], Any], name: str) -> None:
    row, table = PAPERS.rows[name], PAPERS.tables[PAPERS.rows[name].table]
    assert name.startswith(row.table)
    config = settings(script, row.training)
    evaluate = script("evaluate")
    evaluation = script("commands").parse(evaluate.Options, ["RUN", *row.evaluation.split()])
    assert (config.dataset, evaluation.part) == ("omniglot", "test")
    assert (config.seed, evaluation.episodes) == (0, 2000)
    assert config.size == 20 or config.encoder == "conv"  # the papers', but behind an encoder
    other = "evaluation" if evaluation.classes is None else f"{evaluation.classes}-classes"
    if evaluation.alphabets is not None:
        other = f"{evaluation.alphabets}-alphabet"
    assert row.written == (
        ("nearest" if evaluation.nearest else other if table.ways is None else "")
        + ("-" if evaluation.nearest and table.ways else "")
        + ("few-shot" if table.ways else "")
        + ".json"
    )
    assert bool(row.seeds) != evaluation.nearest
    if table.ways is None:
        measured = evaluation.classes or config.classes
        assert (measured, config.labels) == (table.content["classes"], table.content["labels"])
        assert (evaluation.alphabets or config.alphabets) == table.content.get("alphabets", "all")
        assert (evaluation.memory or config.memory) == table.content.get("memory", "wiped")
        assert not evaluate.few_shot_asked(evaluation)
    else:
        assert evaluation.ways == (table.ways,) and evaluation.shots == tuple(table.columns)
        assert config.classes >= table.ways and config.labels == "one-hot"
    if config.memory == "persistent":
        # Every class is held, and not a whole episode, let alone those before; see mann/recipes.py.
        assert config.classes < config.slots < (config.length or config.classes * config.presentations)
    elif config.addressing not in WITHOUT_MEMORY:
        # What 15 classes have shown is held; see mann/recipes.py.
        assert config.slots >= min(128, config.classes * config.presentations)


SCRIPT = """
import signal, sys, time
if sys.argv[1:] == ["wait"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    open("ready", "w").close()
    time.sleep(60)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def stand_in(script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Return what runs a small script as the command runs others."""
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    reproduce = script("reproduce")
    monkeypatch.setattr(reproduce, "SCRIPTS", tmp_path)
    return partial(reproduce.run, "script.py")


def test_a_command_that_fails_is_known_by_its_status(stand_in: Callable[..., int]) -> None:
    assert [stand_in([status]) for status in ("0", "2", "130")] == [0, 2, 130]


def test_a_command_that_was_killed_did_not_succeed(
    stand_in: Callable[..., int], script: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert stand_in([]) == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_stops_with_the_command_that_runs(
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
        (("all", "--seeds", "zero"), "Error parsing --seeds"),
        (("all", "--seed", 1), "did you mean --seeds?"),
    ],
)
def test_wrong_options_are_refused(refused: Callable[..., str], arguments: Sequence[object], message: str) -> None:
    assert message in refused("reproduce", *arguments)


def test_help_teaches(command: Command) -> None:
    status, output, _ = command("reproduce", "--help")
    assert status == 0
    for words in ("--list", "--smoke", "--seeds", "--write", "strings-15", "mann/recipes.py", "docs/results.md"):
        assert words in output
