"""The recipes of the rows: their settings, their runs, and small recipes of the same rows."""

from dataclasses import replace
from pathlib import Path

import pytest

from data import InputError
from mann.papers.recipes import PAPERS
from mann.papers.row_runs import chosen, run_folder, run_settings, seeds_of, small
from mann.reporting.papers_page import paper_of
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
    trainings = []
    for row in ROWS.values():
        if (training := (row.training, row.encoder_of)) not in trainings:
            trainings.append(training)
    assert len({run_folder(PAPERS, name, 0, runs) for name in ROWS}) == len(trainings) < len(ROWS)


def test_a_row_starts_from_the_encoder_of_the_run_of_another_with_its_seed() -> None:
    starting = {name: row.encoder_of for name, row in ROWS.items() if row.encoder_of}
    assert starting["few-shot-5-memory-pretrained"] == "one-hot-20-prototypes" and "one-hot-5-mann" not in starting
    for name, source in starting.items():
        assert run_folder(PAPERS, source, 3, Path("runs")) == Path("runs") / f"{source}-3"
        config = run_settings(PAPERS, name, 3, Path("runs"), Path("images"))
        expected = replace(ROWS[name].training, seed=3, root=Path("images"), encoder_from=Path(f"runs/{source}-3"))
        assert config == expected


def test_seeds_are_the_rows_own_unless_asked_for() -> None:
    assert seeds_of(ROWS["one-hot-5-mann"], ()) == (0, 1, 2)
    assert seeds_of(ROWS["one-hot-5-mann"], (5,)) == (5,)
    assert seeds_of(ROWS["strings-5-knn-pixels"], (5,)) == seeds_of(ROWS["strings-5-knn-pixels"], ()) == (0,)


def test_small_recipes_are_of_the_same_rows_and_of_other_images() -> None:
    tables, rows = small(PAPERS)
    assert list(rows) == [name for name in ROWS if "one-alphabet" not in name]  # no alphabets there
    assert {row.table for row in rows.values()} == set(tables)
    assert {table.content["dataset"] for table in tables.values()} == {"strokes"}
    for name, row in rows.items():
        config, training = row.training, ROWS[name].training
        assert config.dataset == "strokes" and config.steps <= 2 and row.evaluation.episodes == 50
        assert (type(config.model), config.labels, config.encoder) == (
            type(training.model),
            training.labels,
            training.encoder,
        )
        assert config.length is None or config.length <= config.classes * config.presentations
        assert replace(row.evaluation, episodes=2000) == ROWS[name].evaluation


@pytest.mark.parametrize("name", ROWS)
def test_a_recipe_fits_its_table(name: str) -> None:
    row, table = ROWS[name], TABLES[ROWS[name].table]
    config, measurement = row.training, row.evaluation
    assert name.startswith(row.table)
    assert (config.dataset, measurement.part) == ("omniglot", "test")
    assert (config.seed, measurement.episodes) == (0, 2000)
    assert config.size == 20 or config.encoder == "conv"  # the papers', but behind an encoder
    assert bool(row.seeds) != measurement.nearest
    if table.ways is None:
        assert (measurement.classes or config.classes, config.labels) == (
            table.content["classes"],
            table.content["labels"],
        )
        assert (measurement.alphabets or config.alphabets) == table.content.get("alphabets", "all")
        assert (measurement.memory or config.memory) == table.content.get("memory", "wiped")
        assert not measurement.few_shot
    else:
        assert measurement.ways == (table.ways,) and measurement.shots == tuple(table.columns)
        assert config.classes >= table.ways and config.labels == "one-hot"
    if config.memory == "persistent":
        # Every class has a slot, but not every image of an episode, let alone of those before.
        assert isinstance(config.model, Memory)
        assert config.classes < config.model.slots < (config.length or config.classes * config.presentations)
    elif isinstance(config.model, Memory):
        # The images of 15 classes are stored.
        assert config.model.slots >= min(128, config.classes * config.presentations)


def test_every_published_row_of_a_method_that_we_have_has_a_recipe() -> None:
    for name, table in TABLES.items():
        beside = [paper_of(table, row) for row in ROWS.values() if row.table == name]
        for paper in table.published:
            ours = paper.model != "human" if table.ways is None else paper.model in ("prototypical networks", "MAML")
            assert beside.count(paper) == ours, (name, paper)
