"""The command that evaluates: what it writes and prints, and what it refuses."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mann.evaluation.instances import BATCH
from mann.runs.run import Run
from tests.endurance.load import open_files

EVALUATE = Path(__file__).resolve().parents[2] / "scripts" / "evaluate.py"

Command = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def run(command: Command, tiny: list[object], tmp_path: Path) -> Path:
    """Return the folder of a finished run."""
    folder = tmp_path / "run"
    assert command(*tiny, "--run", folder).status == 0
    return folder


def test_evaluation_writes_and_prints_the_accuracy_by_instance(command: Command, run: Path) -> None:
    status, output, errors = command("evaluate", run, "--episodes", 60)
    assert (status, errors) == (0, "")
    content = json.loads((run / "evaluation.json").read_text())
    assert set(content) == {
        "task",
        "dataset",
        "split",
        "episodes",
        "classes",
        "alphabets",
        "memory",
        "labels",
        "instances",
        "counts",
        "training",
        "environment",
    }
    assert (content["split"], content["episodes"], content["classes"]) == ("test", 60, 2)
    assert [instance["observations"] for instance in content["instances"]] == [120, 120]
    assert content["environment"]["command"] == f"evaluate.py {run} --episodes 60"
    assert content["environment"]["threads"] >= 1
    assert "1st" in output and "2nd" in output and "test classes" in output
    for name in ("instances.csv", "curves.csv", "instances.png", "training.png", "binding.png"):
        assert (run / name).stat().st_size > 0
        assert str(run / name) in output.splitlines()
    again = command("evaluate", run, "--episodes", 60, "--part", "validation")
    assert again.status == 0
    assert json.loads((run / "evaluation.json").read_text())["split"] == "validation"


def test_n_way_k_shot_is_a_table_and_a_file_of_its_own(command: Command, run: Path) -> None:
    asked = ("--ways", 2, "--shots", 1, 2, "--queries", 2, "--episodes", 30)
    status, output, errors = command("evaluate", run, *asked)
    assert (status, errors) == (0, "")
    content = json.loads((run / "few-shot.json").read_text())
    assert set(content["results"][0]) == {"ways", "shots", "accuracy", "low", "high", "observations"}
    assert [(one["ways"], one["shots"], one["observations"]) for one in content["results"]] == [
        (2, 1, 120),
        (2, 2, 120),
    ]
    assert content["environment"]["command"].endswith("--episodes 30")
    for words in ("N-way K-shot accuracy", "test classes", "2 queries of each class", "not accuracy by instance"):
        assert words in output
    assert output.splitlines()[-1] == str(run / "few-shot.json")
    assert not (run / "evaluation.json").exists()
    # The ways of the training, unless said otherwise.
    assert command("evaluate", run, *asked[2:]).status == 0
    assert json.loads((run / "few-shot.json").read_text())["results"] == content["results"]


def test_nearest_neighbours_are_measured_on_the_episodes_of_a_run(command: Command, run: Path) -> None:
    status, output, errors = command("evaluate", run, "--nearest", "--episodes", 10)
    assert (status, errors) == (0, "")
    content = json.loads((run / "nearest.json").read_text())
    assert [one["observations"] for one in content["instances"]] == [20, 20]
    assert content["training"] is None and "nearest neighbour" in output
    status, output, _ = command("evaluate", run, "--nearest", "--shots", 1, "--queries", 1, "--episodes", 10)
    assert status == 0 and "nearest neighbour" in output
    assert json.loads((run / "nearest-few-shot.json").read_text())["results"][0]["observations"] == 20
    assert not (run / "few-shot.json").exists() and not (run / "evaluation.json").exists()


def test_another_number_of_classes_goes_to_a_file_of_its_own(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path
) -> None:
    runs = [tmp_path / name for name in ("one", "other")]
    for seed, folder in enumerate(runs):
        assert command(*tiny, "--labels", "strings", "--run", folder, "--seed", seed).status == 0
    status, output, errors = command("evaluate", *runs, "--classes", 5, "--episodes", 10)
    assert (status, errors) == (0, "")
    for folder in runs:
        content = json.loads((folder / "5-classes.json").read_text())
        assert (content["classes"], content["instances"][0]["observations"]) == (5, 50)
        assert not (folder / "evaluation.json").exists()
    table = output[output.index("Runs side by side") :]
    assert "folder, 5 classes, strings, test:" in table and "minus one" in table and "minus other" not in table
    rows = rows_of(tmp_path / "comparison" / "comparison.csv")
    by_place = {(row["run"], row["name"], row["at"]): float(row["value"]) for row in rows}
    for instance in ("1st", "2nd"):
        accuracies = [by_place[run, "accuracy", instance] for run in ("one", "other")]
        assert by_place["other", "difference", instance] == pytest.approx(accuracies[1] - accuracies[0])
        assert ("one", "difference", instance) not in by_place
    asked = ("--classes", 3, "--alphabets", "all", "--nearest")
    assert command("evaluate", runs[0], *asked, "--episodes", 10).status == 0
    assert json.loads((runs[0] / "nearest-3-classes-all-alphabets.json").read_text())["classes"] == 3
    assert command("evaluate", runs[0], "--memory", "persistent", "--episodes", 10).status == 0
    assert json.loads((runs[0] / "persistent-memory.json").read_text())["memory"] == "persistent"
    assert "7 classes asked for in an episode, but only 6" in refused("evaluate", runs[0], "--classes", 7)


def test_evaluating_again_gives_the_same(command: Command, run: Path) -> None:
    contents = []
    for _ in range(2):
        assert command("evaluate", run, "--episodes", BATCH).status == 0
        contents.append(json.loads((run / "evaluation.json").read_text()))
    assert contents[0] == contents[1]


def test_classes_added_since_are_not_tested_on(
    command: Command, refused: Refused, tiny: list[object], letters: Path, tmp_path: Path
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(letters, data)
    command("train", "folder", "--root", data, *tiny[4:], "--run", run)
    assert command("evaluate", run, "--episodes", 60).status == 0
    before = json.loads((run / "evaluation.json").read_text())["instances"]
    # The split by hash would now be another one, with classes for testing that were trained on.
    for number in range(30):
        shutil.copytree(letters / f"letter{number:02d}", data / f"more{number:02d}")
    assert command("evaluate", run, "--episodes", 60).status == 0
    assert json.loads((run / "evaluation.json").read_text())["instances"] == before
    shutil.rmtree(data / "letter00")
    assert "names 1 classes that folder does not have, such as 'letter00'" in refused("evaluate", run)


def test_data_that_have_moved_are_found_with_root(
    command: Command, refused: Refused, tiny: list[object], letters: Path, tmp_path: Path
) -> None:
    there, here, run = tmp_path / "there", tmp_path / "here", tmp_path / "run"
    shutil.copytree(letters, there)
    command("train", "folder", "--root", there, *tiny[4:], "--run", run)
    there.rename(here)
    assert f"{there} is not a folder" in refused("evaluate", run)
    assert command("evaluate", run, "--root", here, "--episodes", 10).status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--episodes", 0], "--episodes 0: at least 1 is needed"),
        (["--episodes", -3], "--episodes -3: at least 1 is needed"),
        (["--episodes", "many"], "Error parsing --episodes: "),
        (["--part", "train"], "invalid choice 'train' for argument '--part'"),
        (["--device", "tpu"], "no device is named 'tpu'"),
        (["--episode", 3], "did you mean --episodes?"),
        (["--ways", 3], "--ways 3: with the one-hot labels of a training with 2 classes no more can be told apart"),
        (["--ways", 1], "--ways 1: at least 2 is needed"),
        (["--classes", 3], "--classes 3: with the one-hot labels of a training with 2 classes no more can be"),
        (["--alphabets", "one"], "is of no alphabet: only classes with names such as 'Latin/character01' are"),
        (["--classes", 2, "--shots", 1], "--classes and --memory are for accuracy by instance"),
        (["--shots", 1, "--episodes", 0], "--episodes 0: at least 1 is needed"),
        (["--shots", 4], "--shots 4 and --queries 5 take 9 drawings of a class, but class"),
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


def test_edited_config_is_refused(refused: Refused, run: Path) -> None:
    path = run / "config.json"
    config = path.read_text()
    for old, new, message in (
        ('"hidden_size": 8', '"hidden_size": 9', "config.json was changed after the run had started (hidden_size is 9"),
        ('"usage_decay": 0.99', '"usage_decay": 0.9', "(scheme.usage_decay is 0.9, not 0.99)"),
        ('"usage_decay": 0.99', '"usage_decay": 3', "config.json: scheme.usage_decay: "),
        ('"usage_decay": 0.99', '"usage_decoy": 0.99', "config.json: scheme.usage_decoy: Unexpected"),
        ('"hidden_size": 8', '"hidden_size": "8"', "config.json: hidden_size: Input should be a valid integer"),
        ('"seed": 0', '"sead": 0', "config.json: sead: Unexpected"),
        ("{", "", "config.json: content: Invalid JSON"),
    ):
        assert config.count(old) >= 1
        path.write_text(config.replace(old, new, 1))
        assert message in refused("evaluate", run)


def test_split_that_is_gone_is_named(refused: Refused, run: Path) -> None:
    Run(run).split_path.unlink()
    assert f"split {run / 'split.json'} cannot be read: No such file" in refused("evaluate", run)


def test_help_tells_a_newcomer_what_there_is(command: Command) -> None:
    status, output, errors = command("evaluate", "--help")
    assert (status, errors) == (0, "")
    for words in (
        "--episodes",
        "--part",
        "--root",
        "--device",
        "evaluation.json",
        "instances.png",
        "Folders of the runs",
        "binding.png",
        "sizes.png",
    ):
        assert words in output


def test_entry_point_works_from_another_folder(run: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, EVALUATE, "../run", "--episodes", "10"],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "../run/instances.png" in done.stdout.splitlines()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))


TASK_FILES = ("sizes.csv", "curves.csv", "training.png", "sequences.png", "sizes.png", "memory.png")
SMALL = ("--hidden-size", 8, "--slots", 6, "--word-size", 4, "--episodes", 64, "--batch", 8)


@pytest.fixture
def copies(command: Command, tmp_path: Path) -> list[Path]:
    """Return the folders of two runs of copy, one of them without memory."""
    folders = [tmp_path / "memory", tmp_path / "none"]
    for folder in folders:
        options = ("--addressing", "none") if folder.name == "none" else ()
        assert command("train", "copy", *SMALL, *options, "--run", folder).status == 0
    return folders


def test_a_tasks_evaluation_names_its_files(command: Command, copies: list[Path]) -> None:
    for folder in copies:
        status, output, errors = command("evaluate", folder, "--episodes", 10)
        assert (status, errors) == (0, "")
        assert "as in training" in output and "length 120" in output
        written = [name for name in TASK_FILES if name != "memory.png" or folder.name == "memory"]
        assert [line for line in output.splitlines() if line.startswith(str(folder))] == [
            str(folder / name) for name in ("evaluation.json", *written)
        ]
        assert all((folder / name).stat().st_size for name in written)
        rows = rows_of(folder / "sizes.csv")
        content = json.loads((folder / "evaluation.json").read_text())
        assert [float(row["bits_per_sequence"]) for row in rows] == [
            result["bits_per_sequence"] for result in content["results"]
        ]


def test_metrics_of_another_run_are_refused(command: Command, copies: list[Path], run: Path) -> None:
    of_copy, of_images = (folder / "metrics.jsonl" for folder in (copies[1], run))
    said = of_images.read_text()
    of_images.write_text(of_copy.read_text())
    status, _, errors = command("evaluate", run, "--episodes", 10)
    assert status == 2
    line = "error: metrics.jsonl, step 8:"
    assert errors == f"{line} expected an instance, found 'bits_per_sequence': does the file belong to another run?\n"
    of_copy.write_text(said)
    status, _, errors = command("evaluate", copies[1], "--episodes", 10)
    assert status == 2
    assert errors == f"{line} bits_per_sequence is missing: does the file belong to another run?\n"


def test_evaluating_again_and_again_leaves_no_file_open(command: Command, run: Path) -> None:
    counts = []
    for _ in range(3):
        assert command("evaluate", run, "--episodes", 10).status == 0
        counts.append(open_files())
    assert counts[2] == counts[1]


@pytest.mark.parametrize("task", ["ngrams", "priority-sort", "regression"])
def test_a_task_without_sizes_to_go_beyond_is_evaluated(command: Command, tmp_path: Path, task: str) -> None:
    assert command("train", task, *SMALL, "--run", tmp_path / "run").status == 0
    status, output, _ = command("evaluate", tmp_path / "run", "--episodes", 10)
    assert status == 0 and not (tmp_path / "run" / "sizes.png").exists()
    assert ("exact posterior" in output) == (task == "regression") and ("Bayes" in output) == (task == "ngrams")
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    status, output, errors = command("evaluate", tmp_path / "run", tmp_path / "other", "--episodes", 10)
    assert (status, errors) == (0, "") and "Runs side by side" in output


def test_runs_are_put_side_by_side(command: Command, copies: list[Path], run: Path, tmp_path: Path) -> None:
    status, output, errors = command("evaluate", *copies, run, "--episodes", 10)
    assert (status, errors) == (0, "")
    table = output[output.index("Runs side by side") :]
    for words in ("copy:", "cost", "folder, 2 classes, one-hot, test:", "accuracy, %", "memory", "none"):
        assert words in table
    assert output.splitlines()[-2:] == [str(tmp_path / "comparison" / f"comparison.{kind}") for kind in ("csv", "png")]
    rows = rows_of(tmp_path / "comparison" / "comparison.csv")
    evaluations = {folder.name: json.loads((folder / "evaluation.json").read_text()) for folder in (*copies, run)}
    assert {row["run"] for row in rows} == set(evaluations)
    for row in rows:
        evaluation = evaluations[row["run"]]
        if row["learned"] == "copy":
            (result,) = [
                entry
                for entry in evaluation["results"]
                if row["at"] == (f"length {entry['setting']['length']}" if entry["setting"] else "as in training")
            ]
            assert float(row["value"]) == result["bits_per_sequence"]
            assert [float(row["low"]), float(row["high"])] == result["intervals"]["bits_per_sequence"]
        else:
            (instance,) = [entry for entry in evaluation["instances"] if row["at"].startswith(str(entry["instance"]))]
            assert float(row["value"]) == instance["accuracy"]
    assert command("evaluate", *copies, "--episodes", 10, "--out", tmp_path / "there").status == 0
    assert (tmp_path / "there" / "comparison.png").stat().st_size


def test_few_shot_accuracies_of_several_runs_are_put_side_by_side(command: Command, run: Path, tmp_path: Path) -> None:
    same, out = tmp_path / "same", tmp_path / "out"
    shutil.copytree(run, same)
    status, output, errors = command(
        "evaluate", run, same, "--ways", 2, "--shots", 1, "--queries", 1, "--episodes", 10, "--out", out
    )
    assert (status, errors) == (0, "") and f"minus {run.name}" in output
    rows = rows_of(out / "comparison.csv")
    assert [(row["run"], row["name"]) for row in rows] == [
        (run.name, "accuracy"),
        ("same", "accuracy"),
        ("same", "difference"),
    ]
    assert [float(rows[2][name]) for name in ("value", "low", "high")] == [0, 0, 0]


def test_runs_of_one_name_are_told_apart_by_their_folders(command: Command, copies: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other" / "memory"
    shutil.copytree(copies[0], other)
    status, _, _ = command("evaluate", copies[0], other, "--episodes", 10)
    assert status == 0
    rows = rows_of(tmp_path / "comparison" / "comparison.csv")
    assert {row["run"] for row in rows} == {str(copies[0]), str(other)}
