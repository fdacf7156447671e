"""The evaluation command refuses what is wrong in one line with status 2."""

import shutil
from pathlib import Path

import pytest

from mann.runs import Run
from tests.scripts.running import Command, Refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--episodes", 0], "--episodes 0: at least 1 is needed"),
        (["--episodes", -3], "--episodes -3: at least 1 is needed"),
        (["--episodes", "many"], "--episodes: expected INT, found 'many'"),
        (["--part", "train"], "--part: 'train' is not one of test, validation"),
        (["--device", "tpu"], "no device is named 'tpu'"),
        (["--episode", 3], "did you mean --episodes?"),
        (["--ways", 3], "--ways 3: the one-hot labels of a training with 2 classes tell no more apart; use at most 2"),
        (["--ways", 1], "--ways 1: at least 2 is needed"),
        (
            ["--classes", 3],
            "--classes 3: the one-hot labels of a training with 2 classes tell no more apart; use at most 2",
        ),
        (["--alphabets", "one"], "is of no alphabet: only classes with names such as 'Latin/character01' are"),
        (["--classes", 2, "--shots", 1], "--classes and --memory are for accuracy by instance"),
        (["--shots", 1, "--episodes", 0], "--episodes 0: at least 1 is needed"),
        (["--shots", 4], "--shots 4 and --queries 5 take 9 images of a class, but class"),
        (["--ways", "two"], "--ways: expected [INT [INT ...]], found 'two'"),
        (["--classes", "few"], "--classes: expected none|INT, found 'few'"),
        (["--memory", "kept"], "--memory: expected none|{wiped,persistent}, found 'kept'"),
        (["--out"], "--out: a value is missing"),
    ],
)
def test_wrong_options_are_refused(refused: Refused, run: Path, options: list[object], message: str) -> None:
    assert message in refused("evaluate", run, *options)
    assert not (run / "evaluation.json").exists() and not (run / "few-shot.json").exists()


def test_what_is_no_run_is_refused(refused: Refused, run: Path, tmp_path: Path) -> None:
    assert "no run is named: python scripts/evaluate.py RUN" in refused("evaluate")
    assert f"is {tmp_path} the folder of a run?" in refused("evaluate", run, tmp_path)
    assert not (run / "evaluation.json").exists()  # refused before the work begins
    assert f"is {tmp_path / 'absent'} the folder of a run?" in refused("evaluate", tmp_path / "absent")
    assert f"is {tmp_path} the folder of a run?" in refused("evaluate", tmp_path)
    assert "the folder of a run?" in refused("evaluate", run / "config.json")
    assert not (tmp_path / "absent").exists()


def test_run_without_a_whole_checkpoint_is_refused(refused: Refused, run: Path) -> None:
    checkpoint = run / "checkpoints" / "000000008"
    content = (checkpoint / "weights.safetensors").read_bytes()
    (checkpoint / "weights.safetensors").write_bytes(content[:-1])
    assert "000000008 is damaged" in refused("evaluate", run)
    shutil.rmtree(checkpoint)
    assert f"{run} holds no checkpoint yet: train it first" in refused("evaluate", run)
    assert not (run / "evaluation.json").exists()


def test_nearest_neighbours_need_no_checkpoint(command: Command, run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / "000000008")
    assert command("evaluate", run, "--nearest", "--episodes", 2).status == 0
    assert (run / "nearest.json").exists()


def test_edited_config_is_refused(refused: Refused, run: Path) -> None:
    path = run / "config.json"
    config = path.read_text()
    changed = "config.json was changed after the run had started"
    for old, new, message in (
        ('"hidden_size": 8', '"hidden_size": 9', f"{changed} (--hidden-size is 9"),
        ('"largest_rate": 1.0', '"largest_rate": 0.9', f"{changed} (--scheme.largest-rate is 0.9, not 1.0)"),
        (
            '"largest_rate": 1.0',
            '"largest_rate": 3',
            "config.json: model.scheme.largest_rate: Input should be",
        ),
        ('"largest_rate": 1.0', '"largest_rat": 1.0', "config.json: model.scheme.largest_rat: Unexpected"),
        (
            '"hidden_size": 8',
            '"hidden_size": "8"',
            "config.json: model.hidden_size: Input should be a valid integer",
        ),
        ('"kind": "memory"', '"kind": "memories"', "config.json: model: "),
        ('"seed": 0', '"sead": 0', "config.json: sead: Unexpected"),
        ('"format": 2', '"format": 3', "config.json: format 3 is of a later version of mann"),
        ("{", "", "config.json: content: Invalid JSON"),
    ):
        assert config.count(old) >= 1
        path.write_text(config.replace(old, new, 1))
        assert message in refused("evaluate", run)


def test_split_that_is_gone_is_named(refused: Refused, run: Path) -> None:
    Run(run).split_path.unlink()
    assert f"split {run / 'split.json'} cannot be read: No such file" in refused("evaluate", run)
