"""How each row of the papers' tables is made: `scripts/reproduce.py` reads this, and so does what it writes.

A row is a training, an evaluation of it, and the table that it belongs to. To add one, add it to `ROWS`; nothing else
has to know of it. Rows with the same training share its run.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data import InputError
from mann.papers.published import INSTANCES, SHOTS, Published, published_few_shot, published_persistent, published_rows


class Table(NamedTuple):
    """A table.

    Attributes:
        title: Its heading.
        columns: What its figures are at: instances, or numbers of shots.
        content: What results have to say of themselves to belong here.
        published: The papers' rows.
        ways: Of an N-way K-shot table; None: of one by instance.
        reference: The row that the others are compared with on the same episodes, if there is one.
    """

    title: str
    columns: Sequence[int]
    content: Mapping[str, Any]
    published: Sequence[Published]
    ways: int | None = None
    reference: str = ""


class Row(NamedTuple):
    """A row of a table, and how it is made.

    Attributes:
        table: Its table's name.
        model, controller: What was measured, called as the papers' row is that it stands beside, if there is one.
        minutes: How long one seed takes, if its run is not shared: on two free cores (AMD EPYC), about.
        training: Arguments of scripts/train.py, but for seed and folders. `--encoder-from ROW` means the run of another
            row with the same seed, which is trained first.
        evaluation: Arguments of scripts/evaluate.py, but for the run.
        written: The file that this evaluation writes into the folder of the run.
        seeds: Those that belong to the row; empty where nothing is trained, and seed 0 stands for all.
        needs: A package that is not installed with this one, if the row takes one.
    """

    table: str
    model: str
    controller: str | None
    minutes: int
    training: str
    evaluation: str = ""
    written: str = "evaluation.json"
    seeds: tuple[int, ...] = (0, 1, 2)
    needs: str = ""


class Recipes(NamedTuple):
    """Tables and rows, by name."""

    tables: Mapping[str, Table]
    rows: Mapping[str, Row]


def _by_instance(
    title: str, classes: int, labels: str, published: Sequence[Published], reference: str = "", **content: str
) -> Table:
    """Return a table by instance; content: what else its results say of themselves."""
    common = {"task": "classification", "dataset": "omniglot", "split": "test", "classes": classes, "labels": labels}
    return Table(title, INSTANCES, {**common, **content}, published, reference=reference)


def _santoro(title: str, classes: int, labels: str) -> Table:
    """Return a table of Santoro et al. 2016."""
    published = published_rows(classes, labels)
    return _by_instance(f"{title}, {classes} classes", classes, labels, published, f"{labels}-{classes}-mann")


def _persistent(classes: int) -> Table:
    """Return a table of a memory that is not wiped, beside that of Le et al. 2019."""
    title = f"Memory not wiped between episodes: one-hot labels, {classes} classes"
    return _by_instance(title, classes, "one-hot", published_persistent(classes), memory="persistent")


def _curriculum(classes: int) -> Table:
    """Return a table of what a training on ever more classes comes to."""
    return _by_instance(f"A curriculum from 15 to 100 classes, tested with {classes}", classes, "strings", ())


def _precision(name: str, model: str) -> Table:
    """Return a table of what fewer digits cost."""
    title = f"What bfloat16 costs: {model}, 32,000 episodes"
    return _by_instance(title, 5, "one-hot", (), f"precision-{name}-float32")


def _few_shot(ways: int) -> Table:
    """Return a table of N-way K-shot accuracies."""
    content = {"task": "few-shot", "dataset": "omniglot", "split": "test"}
    reference = f"few-shot-{ways}-memory-pretrained"
    return Table(f"{ways}-way few-shot", SHOTS, content, published_few_shot(ways), ways, reference)


TABLES = {
    "one-hot-5": _santoro("Table 1: one-hot labels", 5, "one-hot"),
    "strings-5": _santoro("Table 2: labels of five characters", 5, "strings"),
    "strings-15": _santoro("Table 2: labels of five characters", 15, "strings"),
    "one-hot-15": _by_instance("One-hot labels, 15 classes", 15, "one-hot", ()),
    "one-hot-20": _by_instance(
        "One-hot labels, 20 classes, each shown six times", 20, "one-hot", (), "one-hot-20-mann-pretrained"
    ),
    "precision-prototypes": _precision("prototypes", "prototypes with an encoder of 32 channels"),
    "precision-mann": _precision("mann", "MANN behind the encoder of those prototypes"),
    "one-alphabet-5": _by_instance("One-hot labels, 5 classes of one alphabet", 5, "one-hot", (), alphabets="one"),
    "persistent-5": _persistent(5),
    "persistent-10": _persistent(10),
    "curriculum-50": _curriculum(50),
    "curriculum-100": _curriculum(100),
    "few-shot-5": _few_shot(5),
    "few-shot-20": _few_shot(20),
}

# Fewer episodes than by default where an episode has more steps, or an encoder takes most of the time.
_FEWER = "--episodes 200000"
_FEWEST = "--episodes 100000"
# Of 150 steps, each with a drawing in a slot of its own, the last 128 are held, and with them every class: one in 7000
# is not shown within so many. With words of 40, more slots are learned later (docs/log.md).
_SLOTS = "--slots 128"
# A slot for each of them, which a memory of the paper's size has not (docs/log.md).
_SLOT_EACH = "--slots 160"

# Words that hold more of a drawing than the paper's 40 numbers (docs/log.md).
_WIDE = "--word-size 128"

_ONE_HOT_5 = "omniglot"
_STRINGS_5 = "omniglot --labels strings"
_STRINGS_15 = "omniglot --labels strings --classes 15"
_ONE_HOT_15 = f"omniglot --classes 15 {_SLOTS} {_WIDE} {_FEWEST}"
_ONE_HOT_20 = "omniglot --classes 20 --presentations 6"  # five shots and a query
# Where memory is not wiped, more slots hold more of the episodes before, which mislead (docs/log.md). What it stands
# beside has learned from as many episodes.
_PERSISTENT_5 = f"omniglot --memory persistent --slots 16 {_WIDE} {_FEWEST}"
_PERSISTENT_10 = f"omniglot --memory persistent --classes 10 --counting random --length 75 --slots 32 {_WIDE} {_FEWEST}"

_FEEDFORWARD = "--addressing none --controller feedforward"
_LSTM = "--addressing none --controller lstm"
_MANN_FEEDFORWARD = "--controller feedforward"
# Where heads start decides how much of this is learned (docs/log.md).
_NTM = "--addressing ntm --scheme.read-heads 2 --scheme.start recognise"
_PROTOTYPES = "--addressing prototypes"
_MAML = "--addressing maml"
_BFLOAT16 = "--precision bfloat16"
# In float32 the encoder takes nearly twice as long where the processor has bfloat16.
_CONV = f"--encoder conv {_BFLOAT16}"
_FROM = "--encoder-from"
_CONV_5 = f"{_CONV} {_FEWER}"
_CONV_28 = f"{_CONV} --size 28"  # pixels a side, as few-shot learning has them
_FEWER_AT_ONCE = "--batch 8 --episodes 64000"
_PROTOTYPES_20 = f"{_ONE_HOT_20} {_PROTOTYPES} {_CONV_28} {_FEWER_AT_ONCE}"
# Classes come ten times as fast as the paper's: up to 1000 steps an episode take their time.
_CURRICULUM = f"{_STRINGS_15} --most-classes 100 --class-every 1000 --slots 256 {_FEWEST}"
_AUTOENCODER = f"{_STRINGS_5} --addressing nearest --encoder autoencoder {_FEWEST}"
# The memory has less to learn behind an encoder that tells drawings apart already; to make use of it, it takes wider
# words and a wider controller than pixels do (docs/log.md).
_PRETRAINED = f"{_CONV_28} {_WIDE} --hidden-size 400 {_FROM} one-hot-20-prototypes"
_PRETRAINED_5 = f"{_ONE_HOT_5} {_PRETRAINED} {_FEWEST}"
_PRETRAINED_20 = f"{_ONE_HOT_20} {_PRETRAINED} {_SLOTS} {_FEWER_AT_ONCE}"
_SMALL = "--encoder conv --encoder-width 32 --episodes 32000"
_SMALL_PROTOTYPES = f"{_ONE_HOT_5} {_PROTOTYPES} {_SMALL}"
_SMALL_MANN = f"{_ONE_HOT_5} {_SMALL} {_FROM} precision-prototypes-float32"
# Nothing that is learned is measured: the run says which episodes are meant, and no more.
_UNTRAINED = f"{_FEEDFORWARD} --hidden-size 1 --episodes 1"
_SHOTS = f"--shots {' '.join(map(str, SHOTS))}"


def _nearest(table: str, model: str, training: str) -> Row:
    """Return a row of nearest neighbours on raw pixels, by instance."""
    return Row(table, model, None, 1, f"{training} {_UNTRAINED}", "--nearest", "nearest.json", seeds=())


def _nearest_few_shot(ways: int, minutes: int, training: str) -> Row:
    """Return a row of nearest neighbours on raw pixels, N-way K-shot."""
    row = _few_shot_row(ways, "nearest neighbour, raw pixels", minutes, f"{training} {_UNTRAINED}")
    return row._replace(evaluation=f"--nearest {row.evaluation}", written="nearest-few-shot.json", seeds=())


def _few_shot_row(ways: int, model: str, minutes: int, training: str) -> Row:
    """Return a row of N-way K-shot accuracies."""
    return Row(f"few-shot-{ways}", model, None, minutes, training, f"--ways {ways} {_SHOTS}", "few-shot.json")


def _maml(ways: int, minutes: int, training: str) -> Row:
    """Return a row of MAML."""
    return _few_shot_row(ways, "MAML", minutes, training)._replace(needs="learn2learn")


def _curriculum_row(classes: int) -> Row:
    """Return a row of the curriculum, tested with so many classes; a seed takes too long for three."""
    evaluation = f"--classes {classes}"
    return Row(f"curriculum-{classes}", "MANN", None, 240, _CURRICULUM, evaluation, f"{classes}-classes.json", (0,))


ROWS = {
    "one-hot-5-feedforward": Row("one-hot-5", "feed-forward", None, 4, f"{_ONE_HOT_5} {_FEEDFORWARD}"),
    "one-hot-5-lstm": Row("one-hot-5", "LSTM", None, 8, f"{_ONE_HOT_5} {_LSTM}"),
    "one-hot-5-mann": Row("one-hot-5", "MANN", None, 17, _ONE_HOT_5),
    "one-hot-5-mann-wide": Row("one-hot-5", "MANN, words of 128 numbers", None, 27, f"{_ONE_HOT_5} {_WIDE}"),
    "one-hot-5-mann-feedforward": Row(
        "one-hot-5", "MANN, feed-forward controller", None, 15, f"{_ONE_HOT_5} {_MANN_FEEDFORWARD}"
    ),
    "one-hot-5-mann-short": Row(
        "one-hot-5", "MANN, trained for 48,000 episodes", None, 3, f"{_ONE_HOT_5} --episodes 48000"
    ),
    "one-hot-5-mann-conv": Row("one-hot-5", "MANN, convolutional encoder", None, 40, f"{_ONE_HOT_5} {_CONV_5}"),
    "one-hot-5-mann-pretrained": Row("one-hot-5", "MANN, encoder of the 20-class prototypes", None, 45, _PRETRAINED_5),
    "one-hot-5-prototypes": Row(
        "one-hot-5", "prototypes, convolutional encoder", None, 40, f"{_ONE_HOT_5} {_PROTOTYPES} {_CONV_5}"
    ),
    "strings-5-knn-pixels": _nearest("strings-5", "KNN, raw pixels", _STRINGS_5),
    "strings-5-knn-deep": Row("strings-5", "KNN, deep features", None, 8, _AUTOENCODER),
    "strings-5-feedforward": Row("strings-5", "feed-forward", None, 4, f"{_STRINGS_5} {_FEEDFORWARD}"),
    "strings-5-lstm": Row("strings-5", "LSTM", None, 8, f"{_STRINGS_5} {_LSTM}"),
    "strings-5-mann-feedforward": Row("strings-5", "MANN", "feed-forward", 15, f"{_STRINGS_5} {_MANN_FEEDFORWARD}"),
    "strings-5-mann": Row("strings-5", "MANN", "LSTM", 18, _STRINGS_5),
    "strings-15-knn-pixels": _nearest("strings-15", "KNN, raw pixels", _STRINGS_15),
    "strings-15-knn-deep": Row(
        "strings-15", "KNN, deep features", None, 2, _AUTOENCODER, "--classes 15", "15-classes.json"
    ),
    "strings-15-feedforward": Row("strings-15", "feed-forward", None, 8, f"{_STRINGS_15} {_FEEDFORWARD} {_FEWER}"),
    "strings-15-lstm": Row("strings-15", "LSTM", None, 15, f"{_STRINGS_15} {_LSTM} {_FEWER}"),
    "strings-15-mann-feedforward": Row(
        "strings-15", "MANN", "feed-forward", 35, f"{_STRINGS_15} {_MANN_FEEDFORWARD} {_SLOTS} {_FEWER}"
    ),
    "strings-15-mann": Row(
        "strings-15", "MANN, LSTM, a memory of the paper's size", None, 40, f"{_STRINGS_15} {_SLOTS} {_FEWER}"
    ),
    # What a memory of the paper's size forgets, and mixes up.
    "strings-15-mann-wide": Row("strings-15", "MANN", "LSTM", 55, f"{_STRINGS_15} {_SLOT_EACH} {_WIDE} {_FEWER}"),
    "strings-15-mann-ntm": Row(
        "strings-15", "MANN (NTM access)", "LSTM", 100, f"{_STRINGS_15} {_NTM} {_SLOT_EACH} {_FEWER}"
    ),
    "one-hot-15-mann": Row("one-hot-15", "MANN", None, 20, _ONE_HOT_15),
    "one-hot-20-mann-pretrained": Row("one-hot-20", "MANN, encoder of the prototypes", None, 60, _PRETRAINED_20),
    "one-hot-20-prototypes": Row("one-hot-20", "prototypes, convolutional encoder", None, 60, _PROTOTYPES_20),
    "precision-prototypes-float32": Row("precision-prototypes", "float32", None, 4, _SMALL_PROTOTYPES),
    "precision-prototypes-bfloat16": Row(
        "precision-prototypes", "bfloat16", None, 3, f"{_SMALL_PROTOTYPES} {_BFLOAT16}"
    ),
    "precision-mann-float32": Row("precision-mann", "float32", None, 5, _SMALL_MANN),
    "precision-mann-bfloat16": Row("precision-mann", "bfloat16", None, 4, f"{_SMALL_MANN} {_BFLOAT16}"),
    "one-alphabet-5-mann": Row("one-alphabet-5", "MANN", None, 17, _ONE_HOT_5, "--alphabets one", "one-alphabet.json"),
    "persistent-5-mann": Row("persistent-5", "MANN", "LSTM", 5, _PERSISTENT_5),
    "persistent-10-mann": Row("persistent-10", "MANN", "LSTM", 9, _PERSISTENT_10),
    "curriculum-50-mann": _curriculum_row(50),
    "curriculum-100-mann": _curriculum_row(100),
    "few-shot-5-memory": _few_shot_row(5, "memory, convolutional encoder", 40, f"{_ONE_HOT_5} {_CONV_5}"),
    "few-shot-5-memory-pretrained": _few_shot_row(
        5, "memory, encoder of the 20-class prototypical networks", 45, _PRETRAINED_5
    ),
    "few-shot-5-prototypes": _few_shot_row(5, "prototypical networks", 40, f"{_ONE_HOT_5} {_PROTOTYPES} {_CONV_5}"),
    "few-shot-5-prototypes-20": _few_shot_row(5, "prototypical networks, trained with 20 classes", 60, _PROTOTYPES_20),
    "few-shot-5-maml": _maml(5, 45, f"{_ONE_HOT_5} {_MAML} {_CONV} --batch 4 --episodes 20000"),
    "few-shot-5-nearest": _nearest_few_shot(5, 2, _ONE_HOT_5),
    "few-shot-20-memory-pretrained": _few_shot_row(
        20, "memory, encoder of the prototypical networks", 60, _PRETRAINED_20
    ),
    "few-shot-20-prototypes": _few_shot_row(20, "prototypical networks", 60, _PROTOTYPES_20),
    "few-shot-20-maml": _maml(20, 180, f"{_ONE_HOT_20} {_MAML} {_CONV_28} --batch 4 --episodes 8000"),
    "few-shot-20-nearest": _nearest_few_shot(20, 8, _ONE_HOT_20),
}

PAPERS = Recipes(TABLES, ROWS)
"""All that the papers' tables take."""


def small(recipes: Recipes, dataset: str = "strokes") -> Recipes:
    """Return the same for other images, with trainings of two steps: to see that everything runs.

    What draws classes from one alphabet is left out: other images have none.
    """
    tables = {
        name: table._replace(content={**table.content, "dataset": dataset})
        for name, table in recipes.tables.items()
        if "alphabets" not in table.content
    }
    sizes = "--size 8 --presentations 8 --hidden-size 8 --slots 8 --word-size 4 --encoder-width 4"
    rows = {
        name: row._replace(
            training=f"{row.training.replace('omniglot', dataset, 1)} {sizes} --batch 2 --episodes 4",
            evaluation=f"{row.evaluation} --episodes 50".strip(),
        )
        for name, row in recipes.rows.items()
        if row.table in tables
    }
    return Recipes(tables, rows)


def chosen(recipes: Recipes, names: Sequence[str]) -> list[str]:
    """Return the rows that are named: by their names, by those of tables, or as "all"; in the order of the recipes.

    Raises:
        InputError: a name is none of these.
    """
    for name in names:
        if name != "all" and name not in (*recipes.rows, *recipes.tables):
            raise InputError(
                f"no row or table is named {name!r}: use all, {', '.join(recipes.tables)}, or a row of --list"
            )
    return [row for row, recipe in recipes.rows.items() if {"all", row, recipe.table} & set(names)]


def seeds_of(row: Row, asked: Sequence[int]) -> Sequence[int]:
    """Return the seeds to make of a row, if these are asked for (none: its own)."""
    return (asked or row.seeds) if row.seeds else (0,)


def run_folder(recipes: Recipes, name: str, seed: int, runs: Path) -> Path:
    """Return the folder of a row's run: that of the first row with this training, in the folder `runs`."""
    training = recipes.rows[name].training
    first = next(other for other, row in recipes.rows.items() if row.training == training)
    return runs / f"{first}-{seed}"


def source_of(row: Row) -> str | None:
    """Return the row whose encoder this one starts from, if there is one."""
    words = row.training.split()
    return words[words.index(_FROM) + 1] if _FROM in words else None


def training_arguments(recipes: Recipes, name: str, seed: int, runs: Path, root: Path | None) -> list[str]:
    """Return what scripts/train.py is given: to start the training of a row, or to go on with it."""
    task, *arguments = recipes.rows[name].training.split()
    if source := source_of(recipes.rows[name]):
        arguments[arguments.index(_FROM) + 1] = str(run_folder(recipes, source, seed, runs))
    run = run_folder(recipes, name, seed, runs)
    return [task, *arguments, "--seed", str(seed), *_where(root), "--run", str(run), "--resume"]


def evaluation_arguments(row: Row, run: Path, root: Path | None) -> list[str]:
    """Return what scripts/evaluate.py is given."""
    return [str(run), *row.evaluation.split(), *_where(root)]


def recipe_of_training(command: str) -> str:
    """Return the training that a stored command is of, as `Row.training` has it: without seed and folders."""
    return _without_places(shlex.split(command)[1:])


def recipe_of_evaluation(command: str) -> str:
    """Return the evaluation that a stored command is of, as `Row.evaluation` has it: without folders."""
    return _without_places(shlex.split(command)[2:])


def _where(root: Path | None) -> list[str]:
    """Return the option that says where the images are."""
    return [] if root is None else ["--root", str(root)]


def _without_places(words: Sequence[str]) -> str:
    """Return the words of a command but for those that the rows leave out, and rows for their runs."""
    kept, rest = [], iter(words)
    for word in rest:
        if word in ("--seed", "--root", "--run"):
            next(rest, None)
        elif word == _FROM:
            kept += [word, Path(next(rest, "")).name.rpartition("-")[0]]
        elif word != "--resume":
            kept.append(word)
    return " ".join(kept)
