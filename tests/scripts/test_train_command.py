"""The training command: what it writes and prints, and how it continues."""

import json
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data import hashed_split, read_split
from mann.addressing import LRUA
from mann.runs import Run
from mann.settings import Config, Memory
from mann.settings.presets import PRESETS
from tests.scripts.running import Command, Refused, metrics, weights


def test_training_writes_the_run_folder(command: Command, tiny: list[object], letters: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    status, output, errors = command(*tiny, "--run", run)
    assert status == 0
    assert "folder: 21 training classes x 4 rotations, 3 validation classes; 16 episodes" in output
    assert f"trained; next: python scripts/evaluate.py {run}" in output
    (validation,) = errors.splitlines()  # no bar where there is no terminal
    assert validation.startswith("16 episodes, ") and "validation by instance 2: " in validation
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.json",
        "split.json",
        "environment.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        ".lock",
    }
    config = json.loads((run / "config.json").read_text())
    assert set(config) == {"format", *(entry.name for entry in fields(Config))}
    assert (config["dataset"], config["root"], config["model"]["hidden_size"]) == ("folder", str(letters), 8)
    assert read_split(str(run / "split.json")) == hashed_split([f"letter{number:02d}" for number in range(30)])
    environment = json.loads((run / "environment.json").read_text())
    assert environment["command"].startswith("train.py folder --root ")
    assert {"commit", "device", "threads", "cores", "python", "torch", "torchvision", "numpy", "scipy"} < set(
        environment
    )
    (checkpoint,) = (run / "checkpoints").iterdir()
    assert checkpoint.name == "000000008"
    assert load_file(checkpoint / "weights.safetensors")
    assert torch.load(checkpoint / "training.pt", weights_only=True)["step"] == 8
    assert [line["episodes"] for line in metrics(run)] == [16]


def test_run_is_written_to_a_folder_named_after_the_task(
    command: Command, tiny: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*tiny).status == 0
    assert Run(Path("runs/folder")).steps_done() == 8


def test_folder_of_a_run_is_used_again_only_to_resume(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert command(*tiny, "--run", run, "--resume").status == 0  # there is none yet: it starts
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "holds a run already: add --resume to continue, or choose another --run" in refused(*tiny, "--run", run)
    for line in (
        ["train", "folder", "--run", run, "--resume"],
        [*tiny, "--run", run, "--resume"],
        [*tiny, "--run", run, "--resume", "--preset", "default"],
        ["train", "folder", f"--run={run}", "--resume", "--hidden-size", 8],
    ):
        status, output, errors = command(*line)
        assert (status, errors) == (0, "")
        assert output == f"{run} is trained already; next: python scripts/evaluate.py {run}\n"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("folder --hidden-size 9", r"\(--hidden-size is 8, not 9\)"),
        ("folder --scheme.largest-rate 0.5 --seed 3", r"--scheme\.largest-rate is 1\.0, not 0\.5.*--seed is 0, not 3"),
        ("folder --episodes 18", r"\(--episodes is 16, not 18\)"),
        ("folder --addressing dnc", r"\(--addressing is delta, not dnc.*\)"),
        ("folder --model recurrent", r"\(--model is memory, not recurrent.*\)"),
        ("folder --addressing none", r"\(--model is memory, not recurrent.*\)"),
        ("folder --preset demo", rf"\(.*--episodes is 16, not {PRESETS['demo']['episodes']}"),
        ("folder --preset fast", "no preset of folder is named 'fast'"),
        ("strokes", r"\(the task is folder, not strokes\)"),
        ("folder --nope", "unrecognized options: --nope"),
    ],
)
def test_run_with_other_settings_is_not_continued(refused: Refused, run: Path, arguments: str, message: str) -> None:
    before = weights(run)
    refusal = refused("train", *arguments.split(), "--run", run, "--resume")
    assert re.search(message, refusal), refusal
    assert weights(run) == before


def test_run_of_a_preset_continues_with_the_preset(command: Command, tiny: list[object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = [*tiny, "--run", run, "--preset", "paper"]
    assert command(*line).status == 0
    config = Run(run).config()
    assert isinstance(config.model, Memory)
    assert (config.optimizer, config.model.scheme, config.episodes) == ("rmsprop", LRUA(), 16)
    assert "trained already" in command(*line, "--resume").output
    assert "trained already" in command("train", "folder", "--run", run, "--resume").output


def test_damaged_run_is_refused(command: Command, refused: Refused, run: Path) -> None:
    config = (run / "config.json").read_text()
    resume = ["train", "folder", "--run", run, "--resume"]
    (run / "config.json").write_text(config.replace('"episodes": 16', '"episodes": 20'))
    status, _, errors = command(*resume)
    assert status == 2
    assert "config.json was changed after the run had started (--episodes is 20, not 16)" in errors
    (run / "config.json").write_text(config[:50])
    assert f"{run}/config.json: " in refused(*resume)
    # A damaged checkpoint, when there is something left to do.
    (run / "config.json").write_text(config)
    (run / "checkpoints" / "000000008").rename(run / "checkpoints" / "000000007")
    (run / "checkpoints" / "000000007" / "training.pt").write_bytes(b"")
    status, _, errors = command(*resume)
    assert status == 2
    assert "000000007 is damaged" in errors and errors.count("\n") == 1


def test_split_stays_as_it_was_when_the_run_started(
    command: Command, tiny: list[object], letters: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in letters.iterdir())
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"train": names[:10], "validation": names[10:15], "test": names[15:]}))
    run = tmp_path / "run"
    assert command(*tiny, "--run", run, "--split", own).status == 0
    before = metrics(run), weights(run)
    shutil.rmtree(run / "checkpoints" / "000000008")
    # Classes that were for testing must not be trained on after all.
    own.write_text(json.dumps({"train": names[15:], "validation": names[10:15], "test": names[:10]}))
    assert command(*tiny, "--run", run, "--split", own, "--resume").status == 0
    assert (metrics(run), weights(run)) == before


def test_data_that_have_moved_are_found_with_root(
    command: Command, refused: Refused, tiny: list[object], letters: Path, tmp_path: Path
) -> None:
    run, before, after = tmp_path / "run", tmp_path / "before", tmp_path / "after"
    shutil.copytree(letters, before)
    assert command("train", "folder", "--root", before, *tiny[4:], "--run", run).status == 0
    trained = weights(run)
    shutil.rmtree(run / "checkpoints" / "000000008")
    before.rename(after)
    resume = ["train", "folder", "--run", run, "--resume"]
    assert f"{before} is not a folder" in refused(*resume)
    assert command(*resume, "--root", after).status == 0
    assert weights(run) == trained


def test_a_curriculum_reports_its_number_of_classes(command: Command, tiny: list[object], tmp_path: Path) -> None:
    growing = ("--labels", "strings", "--most-classes", 5, "--class-every", 5)
    status, _, errors = command(*tiny, "--run", tmp_path / "run", *growing)
    assert status == 0
    (line,) = metrics(tmp_path / "run")
    assert line["classes"] == 4  # two at first; the 15th and 16th episode come after the 10th
    assert ", 4 classes  " in errors


EXTREME = ("--learning-rate", 1e38, "--clip", 1e38, "--warm-up", 0, "--seed", 4)
"""Options with which the loss is soon not finite."""


def test_loss_that_is_not_finite_ends_in_one_line(command: Command, tiny: list[object], tmp_path: Path) -> None:
    status, _, errors = command(*tiny, "--run", tmp_path / "run", *EXTREME)
    assert status == 1
    assert errors.startswith("error: step ") and "of seed 4: the loss is " in errors
    assert errors.count("\n") == 1


def test_steps_that_are_not_finite_are_counted_in_the_end(command: Command, tiny: list[object], tmp_path: Path) -> None:
    status, output, _ = command(*tiny, "--run", tmp_path / "run", *EXTREME, "--on-nonfinite", "skip")
    assert status == 0
    (line,) = metrics(tmp_path / "run")
    assert 0 < line["skipped"] < 8
    assert f"trained but for {line['skipped']} steps that were not finite; next: " in output
