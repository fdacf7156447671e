"""The recipes of the rows: their settings, their runs, and small recipes of the same rows."""

from dataclasses import replace
from pathlib import Path

import pytest

from data import InputError
from mann.papers.recipes import PAPERS, chosen, run_folder, run_settings, seeds_of, small
from mann.settings import Memory

TABLES, ROWS = PAPERS


def test_rows_are_chosen_by_name_by_table_or_all() -> None:
    assert chosen(PAPERS, ["strings-15-mann", "one-hot-5-lstm"]) == ["one-hot-5-lstm", "strings-15-mann"]
    assert chosen(PAPERS, ["few-shot-20"]) == [name for name, row in ROWS.items() if row.table == "few-shot-20"]
    assert chosen(PAPERS, ["all"]) == list(ROWS)
    with pytest.raises(InputError, match="no row or table is named 'strings': use all, one-hot-5, strings-5"):
        chosen(PAPERS, ["one-hot-5", "strings"])


def test_rows_of_one_training_share_its_run() -> None:
    runs = Path("runs")
    shared = run_folder(PAPERS, "few-shot-5-memory", 1, runs)
    assert shared == run_folder(PAPERS, "one-hot-5-mann-conv", 1, runs) == runs / "one-hot-5-mann-conv-1"
    trainings = {row.training for row in ROWS.values()}
    assert len({run_folder(PAPERS, name, 0, runs) for name in ROWS}) == len(trainings) < len(ROWS)


def test_a_row_starts_from_the_encoder_of_the_run_of_another_with_its_seed() -> None:
    starting = {name: source for name, row in ROWS.items() if (source := source_of(row))}
    assert starting["few-shot-5-memory-pretrained"] == "one-hot-20-prototypes" and "one-hot-5-mann" not in starting
    for name, source in starting.items():
        assert run_folder(PAPERS, source, 3, Path("runs")) == Path("runs") / f"{source}-3"
        arguments = training_arguments(PAPERS, name, 3, Path("runs"), None)
        assert arguments[arguments.index("--encoder-from") + 1] == f"runs/{source}-3"
        assert recipe_of_training(" ".join(["train.py", *arguments])) == ROWS[name].training


def test_seeds_are_the_rows_own_unless_asked_for() -> None:
    assert seeds_of(ROWS["one-hot-5-mann"], ()) == (0, 1, 2)
    assert seeds_of(ROWS["one-hot-5-mann"], (5,)) == (5,)
    assert seeds_of(ROWS["strings-5-knn-pixels"], (5,)) == seeds_of(ROWS["strings-5-knn-pixels"], ()) == (0,)


def test_small_recipes_are_of_the_same_rows_and_of_other_images() -> None:
    tables, rows = small(PAPERS)
    assert list(rows) == [name for name in ROWS if name != "one-alphabet-5-mann"]  # no alphabets there
    assert {row.table for row in rows.values()} == set(tables)
    assert {table.content["dataset"] for table in tables.values()} == {"strokes"}
    for name, row in rows.items():
        assert row.training.startswith(ROWS[name].training.replace("omniglot", "strokes"))
        assert not any(row == other for other in ROWS.values())
