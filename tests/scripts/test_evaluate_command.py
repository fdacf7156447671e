"""The evaluation command on runs on images: what it writes and prints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mann.evaluation.held_out import BATCH
from tests.endurance.load import open_files
from tests.scripts.running import SCRIPTS, Command, Refused, rows_of


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
    for words in (
        "N-way K-shot accuracy",
        "test classes",
        "2 queries of each class",
        "not comparable with accuracy by instance",
    ):
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
        [sys.executable, SCRIPTS / "evaluate.py", "../run", "--episodes", "10"],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "../run/instances.png" in done.stdout.splitlines()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_evaluating_again_and_again_leaves_no_file_open(command: Command, run: Path) -> None:
    counts = []
    for _ in range(3):
        assert command("evaluate", run, "--episodes", 10).status == 0
        counts.append(open_files())
    assert counts[2] == counts[1]
