"""The evaluation command on runs of the algorithmic tasks, and on several runs at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.running import OF_MEMORY, SMALL, Command, copied, rows_of, without

TASK_FILES = ("sizes.csv", "curves.csv", "training.png", "sequences.png", "sizes.png", "memory.png")


@pytest.fixture
def copies(trained_once: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """Return the folders of two runs of copy, one of them without memory."""
    plain = without([*SMALL, "--model", "recurrent"], *OF_MEMORY)
    settings = {"memory": SMALL, "none": plain}
    return [copied(trained_once("copy", *options), tmp_path / name) for name, options in settings.items()]


def test_a_tasks_evaluation_names_its_files(command: Command, copies: list[Path]) -> None:
    for folder in copies:
        status, output, errors = command("evaluate", folder, "--episodes", 2)
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
    before = of_images.read_text()
    of_images.write_text(of_copy.read_text())
    status, _, errors = command("evaluate", run, "--episodes", 10)
    assert status == 2
    line = "error: metrics.jsonl, step 8:"
    assert errors == f"{line} expected an instance, found 'bits_per_sequence': does the file belong to another run?\n"
    of_copy.write_text(before)
    status, _, errors = command("evaluate", copies[1], "--episodes", 10)
    assert status == 2
    assert errors == f"{line} bits_per_sequence is missing: does the file belong to another run?\n"


SHORT = {
    "ngrams": ("--sizes.length", 10, "--sizes.context", 2),
    "priority-sort": ("--sizes.items", 4, "--sizes.answers", 2),
    "regression": (),
}
"""Tasks without sizes to go beyond, with options that make their sequences short."""


@pytest.mark.parametrize("task", SHORT)
def test_a_task_without_sizes_to_go_beyond_is_evaluated(command: Command, tmp_path: Path, task: str) -> None:
    assert command("train", task, *SMALL, *SHORT[task], "--episodes", 8, "--run", tmp_path / "run").status == 0
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    status, output, errors = command("evaluate", tmp_path / "run", tmp_path / "other", "--episodes", 2)
    assert (status, errors) == (0, "") and "Runs side by side" in output
    assert ("exact posterior" in output) == (task == "regression") and ("Bayes" in output) == (task == "ngrams")
    assert (tmp_path / "run" / "training.png").exists() and not (tmp_path / "run" / "sizes.png").exists()


def test_runs_are_put_side_by_side(command: Command, copies: list[Path], run: Path, tmp_path: Path) -> None:
    status, output, errors = command("evaluate", *copies, run, "--episodes", 2)
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
        if row["problem"] == "copy":
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


def test_runs_of_one_name_are_told_apart_by_their_folders(command: Command, run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path / "other" / run.name)
    assert command("evaluate", run, other, "--episodes", 10, "--out", tmp_path / "there").status == 0
    assert (tmp_path / "there" / "comparison.png").stat().st_size
    rows = rows_of(tmp_path / "there" / "comparison.csv")
    assert {row["run"] for row in rows} == {str(run), str(other)}
