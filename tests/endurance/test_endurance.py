"""The endurance checks: hostile files here, and that the checks themselves can fail."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import InputError
from mann.runs import Run
from mann.settings import preset
from tests.endurance import fuzz, kills, load, seeds
from tests.endurance.fuzz import TARGETS

VALID = {name: target.valid() for name, target in TARGETS.items() if name not in ("checkpoint", "classifier")}
JSON = {name: VALID[name][0] for name in ("config", "split", "metrics", "result", "evaluation")}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def ignore(done: int) -> None:
    """Receive progress, and do nothing with it."""


@pytest.mark.parametrize("name", TARGETS)
def test_valid_files_are_read(name: str) -> None:
    for content in TARGETS[name].valid():
        TARGETS[name].parse(content)


@pytest.mark.parametrize("name", TARGETS)
def test_files_of_another_kind_are_refused(name: str) -> None:
    valid = TARGETS[name].valid()[0]
    for content in (b"", b"\0", b"{", b"[" * 100_000, b"\xff" * 100, valid[: len(valid) // 2], valid * 2):
        fuzz.parse(name, content)


@given(st.data())
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("name", VALID)
def test_damaged_files_are_read_or_refused(name: str, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(VALID[name])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    fuzz.parse(name, bytes(content))


@given(st.data(), values)
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("name", JSON)
def test_edited_files_are_read_or_refused(name: str, data: st.DataObject, value: Any) -> None:
    first, *rest = JSON[name].split(b"\n") if name == "metrics" else [JSON[name]]
    content = part = json.loads(first)
    while isinstance(part, dict) and part:
        key = data.draw(st.sampled_from(sorted(part)))
        inner = part[key]
        if not isinstance(inner, dict) or data.draw(st.booleans()):
            change = data.draw(st.sampled_from(["value", "missing", "unknown"]))
            if change != "unknown":
                del part[key]
            if change != "missing":
                part[key if change == "value" else data.draw(st.text(max_size=5))] = value
            break
        part = inner
    fuzz.parse(name, b"\n".join([json.dumps(content).encode(), *rest]))


def test_a_parser_that_crashes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    careless = {"careless": fuzz.Target(lambda content: content[0], lambda: [b"a"], 100)}
    monkeypatch.setattr(fuzz, "TARGETS", careless)
    fuzz.parse("careless", b"a")
    with pytest.raises(IndexError):
        fuzz.parse("careless", b"")


def test_a_seed_that_is_not_finite_is_noticed(tmp_path: Path) -> None:
    small = {"hidden_size": 4, "slots": 4, "word_size": 3, "batch": 2, "episodes": 6, "warm_up": 0}
    found: Any = seeds.endure_seeds(2, tmp_path, ignore, {"copy": small})
    copy = found["subjects"]["copy"]
    assert copy["not_finite"] == {} and copy["last_loss"]["low"] > 0
    assert copy["learning_rate"] == 2 * preset("copy").learning_rate
    found = seeds.endure_seeds(1, tmp_path, ignore, {"copy": {**small, "clip": 1e38}}, faster=1e41)
    copy = found["subjects"]["copy"]
    assert "step 1 of seed 0: " in copy["not_finite"][0] and copy["last_loss"] is None


def test_trainings_that_differ_are_told_apart(tmp_path: Path) -> None:
    kills.write_letters(tmp_path / "letters")
    sizes: dict[str, Any] = {"hidden_size": 4, "slots": 4, "word_size": 3, "size": 8, "classes": 2, "presentations": 2}
    config = preset("folder", **sizes, root=tmp_path / "letters", batch=2, episodes=6)
    outcomes = []
    for place, seed in enumerate((0, 0, 1)):
        run = Run(tmp_path / str(place))
        load.train(replace(config, seed=seed), run)
        outcomes.append(kills.outcome(run))
    one, same, other = outcomes
    assert one == same
    for part in ("weights", "training", "metrics", "evaluation"):
        assert one[part] != other[part]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run with a checkpoint and whole lines of metrics."""
    run = Run(tmp_path / "run")
    load.train(replace(load.EVALUATED["copy"], episodes=4), run)
    return run


def tear(run: Run) -> None:
    """Cut off the last line of the metrics, as a kill while it is written does."""
    content = run.metrics_path.read_bytes()
    assert content.endswith(b"}\n")
    run.metrics_path.write_bytes(content[:-5])


def test_a_torn_line_is_counted_where_there_is_one(run: Run) -> None:
    assert not kills.has_torn_line(run)
    assert kills.check_killed(run, signal.SIGKILL, -signal.SIGKILL, "") == []
    tear(run)
    assert kills.has_torn_line(run)
    assert kills.check_killed(run, signal.SIGKILL, -signal.SIGKILL, "") == ["left a torn line"]
    run.metrics_path.write_bytes(b"")
    assert not kills.has_torn_line(run)
    run.metrics_path.unlink()
    assert not kills.has_torn_line(run)


def test_a_signal_that_is_handled_must_leave_whole_lines(run: Run) -> None:
    ended = (signal.SIGTERM, 128 + signal.SIGTERM, "stopped after step 2\n")
    assert kills.check_killed(run, *ended) == ["stopped with a checkpoint"]
    tear(run)
    with pytest.raises(kills.BrokenPromiseError, match="^SIGTERM left a torn line in "):
        kills.check_killed(run, *ended)


@pytest.mark.parametrize(
    ("number", "status", "errors"),
    [
        (signal.SIGKILL, 0, ""),
        (signal.SIGTERM, -signal.SIGTERM, "interrupted\n"),
        (signal.SIGINT, 128 + signal.SIGINT, ""),
        (signal.SIGINT, 128 + signal.SIGINT, "Traceback (most recent call last):\ninterrupted\n"),
        (signal.SIGINT, 128 + signal.SIGINT, "error: disk full\n"),
    ],
)
def test_another_end_than_the_documented_one_is_noticed(
    run: Run, number: signal.Signals, status: int, errors: str
) -> None:
    with pytest.raises(kills.BrokenPromiseError, match=rf"^{number.name} ended with status {status}: {errors[:9]}"):
        kills.check_killed(run, number, status, errors)


def test_damaged_files_of_a_killed_training_are_noticed(run: Run) -> None:
    (checkpoint,) = run.checkpoints.glob("[0-9]*")
    (checkpoint / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="is damaged"):
        kills.check_killed(run, signal.SIGKILL, -signal.SIGKILL, "")
    checkpoint.rename(checkpoint.with_name(".half"))
    assert kills.check_killed(run, signal.SIGKILL, -signal.SIGKILL, "") == ["left half a checkpoint"]
    with pytest.raises(kills.BrokenPromiseError, match="left no checkpoint"):
        kills.check_killed(run, signal.SIGINT, 128 + signal.SIGINT, "stopped after step 2\n")


def leaking(held: list[Any], grows: bool) -> Callable[[list[str]], int]:
    """Return an evaluation that leaves a file open, or one that does not."""

    def evaluate(arguments: list[str]) -> int:
        if grows:
            held.append(open(__file__))  # noqa: SIM115
        return 0

    return evaluate


@pytest.mark.parametrize("grows", [False, True])
def test_an_evaluation_that_leaves_a_file_open_is_noticed(tmp_path: Path, grows: bool) -> None:
    held: list[Any] = []
    configs = {name: replace(load.EVALUATED["copy"], episodes=4) for name in ("one", "other")}
    try:
        found = load.endure_evaluations(leaking(held, grows), 40, tmp_path, ignore, configs)
    finally:
        for file in held:
            file.close()
    assert found["growth"]["open_files"] == (20 if grows else 0)
    assert [row[0] for row in found["held"]] == list(range(1, 41))
    assert load.plot_load(found).axes[1].get_ylabel() == "open files"


def test_training_leaves_no_file_open(tmp_path: Path) -> None:
    before = load.open_files()
    config = preset("copy", hidden_size=4, slots=4, word_size=3, batch=2)
    found = load.endure_training(32, tmp_path, ignore, config)
    assert [row[0] for row in found["held"]] == list(range(2, 33, 2))
    assert found["growth"]["open_files"] == 0
    assert load.open_files() == before
    assert list(tmp_path.iterdir()) == []


def test_fuzzing_needs_atheris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package atheris: pip install 'mann\[fuzz\]'"):
        fuzz.endure_fuzzing(100, tmp_path, ignore)
