"""What the program is put through: hostile files here, and that the checks themselves can fail."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import InputError
from mann.runs.run import Run
from mann.settings.schema import preset
from mann.training.loop import Pace
from tests.endurance import fuzz, kills, load, seeds
from tests.endurance.fuzz import TARGETS

WHOLE = {name: target.whole() for name, target in TARGETS.items() if name not in ("checkpoint", "classifier")}
JSON = {name: WHOLE[name][0] for name in ("config", "split", "metrics", "result", "evaluation")}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read(name: str) -> None:
    for content in TARGETS[name].whole():
        TARGETS[name].parse(content)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_no_such_file_is_refused(name: str) -> None:
    whole = TARGETS[name].whole()[0]
    for content in (b"", b"\0", b"{", b"[" * 100_000, b"\xff" * 100, whole[: len(whole) // 2], whole * 2):
        fuzz.parse(name, content)


@given(st.data())
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("name", WHOLE)
def test_damaged_files_are_read_or_refused(name: str, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(WHOLE[name])))
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


def test_a_seed_that_is_not_finite_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden_size": 4, "slots": 4, "word_size": 3, "batch": 2, "episodes": 6, "warm_up": 0}
    monkeypatch.setattr(seeds, "SUBJECTS", {"copy": small})
    found = seeds.endure_seeds(2, tmp_path, lambda done: None)["subjects"]["copy"]
    assert found["not_finite"] == {} and found["last_loss"]["low"] > 0
    assert found["learning_rate"] == 2 * preset("copy").learning_rate
    monkeypatch.setattr(seeds, "SUBJECTS", {"copy": {**small, "clip": 1e38}})
    monkeypatch.setattr(seeds, "preset", lambda name: replace(preset(name), learning_rate=1e38))
    found = seeds.endure_seeds(1, tmp_path, lambda done: None)["subjects"]["copy"]
    assert "step 1 of seed 0: " in found["not_finite"][0] and found["last_loss"] is None


def test_trainings_that_differ_are_told_apart(tmp_path: Path) -> None:
    outcomes = []
    for place, seed in enumerate((0, 0, 1)):
        config = replace(preset("strokes"), **load._CLASSIFICATION, batch=2, episodes=6, seed=seed)
        run = Run(tmp_path / str(place))
        load._train(config, run, Pace(), lambda line: None)
        outcomes.append(kills.outcome(run))
    one, same, other = outcomes
    assert one == same
    for part in ("weights", "training", "metrics", "evaluation"):
        assert one[part] != other[part]


def leaking(held: list[Any], grows: bool) -> Callable[[list[str]], int]:
    """Return an evaluation that leaves a file open, or one that does not."""

    def evaluate(arguments: list[str]) -> int:
        if grows:
            held.append(open(__file__))  # noqa: SIM115
        return 0

    return evaluate


@pytest.mark.parametrize("grows", [False, True])
def test_an_evaluation_that_leaves_a_file_open_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grows: bool
) -> None:
    monkeypatch.setattr(load, "_train", lambda config, run, pace, note: run.folder.mkdir())
    held: list[Any] = []
    try:
        found = load.endure_evaluations(leaking(held, grows), 40, tmp_path, lambda done: None)
    finally:
        for file in held:
            file.close()
    assert found["growth"]["open_files"] == (20 if grows else 0)
    assert [row[0] for row in found["held"]] == list(range(1, 41))
    assert load.plot_held(found).axes[1].get_ylabel() == "open files"


def test_training_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden_size": 4, "slots": 4, "word_size": 3}
    monkeypatch.setattr(load, "preset", lambda name: preset("copy"))
    monkeypatch.setattr(load, "_CLASSIFICATION", small)
    monkeypatch.setattr(load, "BATCH", 2)
    before = load.open_files()
    found = load.endure_training(80, tmp_path, lambda done: None)
    assert [row[0] for row in found["held"]] == list(range(2, 81, 2))
    assert found["growth"]["open_files"] == 0
    assert load.open_files() == before
    assert list(tmp_path.iterdir()) == []


def test_atheris_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package atheris: pip install 'mann\[fuzz\]'"):
        fuzz.endure_fuzzing(100, tmp_path, lambda done: None)
