"""The recipe of each row of the papers' tables: its settings, its evaluation and its table, as typed data.

A table is in `TABLES`, a row in `ROWS`: to add a row, add it there and nowhere else. Rows with the same settings share
a training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mann.evaluation.few_shot_accuracy import SHOTS
from mann.evaluation.figures import INSTANCES
from mann.evaluation.measurement import Measurement
from mann.papers.published import Published, published_few_shot, published_persistent, published_rows
from mann.settings import Config, Options, Recurrent, changed
from mann.settings.presets import PRESETS


class Table(NamedTuple):
    """A table.

    Attributes:
        title: Its heading.
        columns: Instances, or numbers of shots.
        content: Keys and values that the results of the table have.
        published: The papers' rows.
        ways: Of an N-way K-shot table; None: accuracy by instance.
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
        table: The name of its table.
        model, controller: The model, with the names of the papers' row that it stands beside, if there is one.
        minutes: About how many minutes a seed takes on two idle cores (AMD EPYC), if its training is not shared.
        training: The settings, with seed 0 and without folders.
        evaluation: The measurement.
        encoder_of: The row whose trained encoder (of the same seed) this one starts from, if there is one.
        seeds: The seeds of the row; empty where nothing is trained, and seed 0 stands for all.
        needs: A package that is not installed with this one, if the row needs one.
    """

    table: str
    model: str
    controller: str | None
    minutes: int
    training: Config
    evaluation: Measurement = Measurement()
    encoder_of: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    needs: str = ""


class Recipes(NamedTuple):
    """Tables and rows, by name."""

    tables: Mapping[str, Table]
    rows: Mapping[str, Row]


def _by_instance(
    title: str, classes: int, labels: str, published: Sequence[Published], reference: str = "", **content: str
) -> Table:
    """Return a table by instance; content: further keys of its results."""
    common = {"task": "classification", "dataset": "omniglot", "split": "test", "classes": classes, "labels": labels}
    return Table(title, INSTANCES, {**common, **content}, published, reference=reference)


def _santoro(title: str, classes: int, labels: str) -> Table:
    """Return a table of Santoro et al. 2016."""
    published = published_rows(classes, labels)
    return _by_instance(f"{title}, {classes} classes", classes, labels, published, f"{labels}-{classes}-mann")


def _persistent(classes: int) -> Table:
    """Return a table of a memory that is not wiped between episodes, beside Le et al. 2019."""
    title = f"Memory not wiped between episodes: one-hot labels, {classes} classes"
    return _by_instance(title, classes, "one-hot", published_persistent(classes), memory="persistent")


def _curriculum(classes: int) -> Table:
    """Return a table of a curriculum."""
    return _by_instance(f"A curriculum from 15 to 100 classes, tested with {classes}", classes, "strings", ())


def _precision(name: str, model: str) -> Table:
    """Return a table of the cost of bfloat16."""
    title = f"The cost of bfloat16: {model}, 32,000 episodes"
    return _by_instance(title, 5, "one-hot", (), f"precision-{name}-float32")


def _few_shot(ways: int) -> Table:
    """Return a table of N-way K-shot accuracies."""
    content = {"task": "few-shot", "dataset": "omniglot", "split": "test"}
    reference = f"few-shot-{ways}-memory-pretrained"
    return Table(f"{ways}-way few-shot", SHOTS, content, published_few_shot(ways), ways, reference)


TABLES: Final[Mapping[str, Table]] = {
    "one-hot-5": _santoro("Table 1: one-hot labels", 5, "one-hot"),
    "strings-5": _santoro("Table 2: labels of five characters", 5, "strings"),
    "strings-15": _santoro("Table 2: labels of five characters", 15, "strings"),
    "one-hot-15": _by_instance("One-hot labels, 15 classes", 15, "one-hot", ()),
    "one-hot-20": _by_instance(
        "One-hot labels, 20 classes, each presented six times", 20, "one-hot", (), "one-hot-20-mann-pretrained"
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


def _settings(base: Config, *options: Options) -> Config:
    """Return settings with some options changed."""
    return changed(base, {name: value for some in options for name, value in some.items()})


# Fewer episodes than by default where an episode has more steps, or an encoder takes most of the time.
_FEWER: Final[Options] = {"episodes": 200_000}
_FEWEST: Final[Options] = {"episodes": 100_000}
# Each image of an episode of 150 steps is written to a new slot: 128 slots hold the last 128 images, and nearly always
# every class is among these. With words of 40 numbers, more slots take longer to learn (docs/log.md).
_SLOTS: Final[Options] = {"slots": 128}
# A slot for each image, which a memory of the paper's size does not have (docs/log.md).
_SLOT_EACH: Final[Options] = {"slots": 160}
# Words that hold more of an image than the paper's 40 numbers (docs/log.md).
_WIDE: Final[Options] = {"word_size": 128}
_FEEDFORWARD: Final[Options] = {"model": Recurrent(controller="feedforward")}
_LSTM: Final[Options] = {"model": "recurrent"}
_MANN_FEEDFORWARD: Final[Options] = {"controller": "feedforward"}
# The start of the heads decides how much of this is learned (docs/log.md).
_NTM: Final[Options] = {"addressing": "ntm", "scheme.read_heads": 2, "scheme.start": "recognise"}
_PROTOTYPES: Final[Options] = {"model": "prototypes"}
_MAML: Final[Options] = {"model": "maml"}
_BFLOAT16: Final[Options] = {"precision": "bfloat16"}
# In float32 the encoder takes nearly twice as long where the processor has bfloat16.
_CONV: Final[Options] = {"encoder": "conv", **_BFLOAT16}
_CONV_28: Final[Options] = {**_CONV, "size": 28}  # pixels a side, as in few-shot learning
_FEWER_AT_ONCE: Final[Options] = {"batch": 8, "episodes": 64_000}
_SMALL: Final[Options] = {"encoder": "conv", "encoder_width": 32, "episodes": 32_000}
# Nothing that is trained is measured: the settings define the episodes, and no more.
_UNTRAINED: Final[Options] = {"model": Recurrent(controller="feedforward", hidden_size=1), "episodes": 1}

_SHORT: Final = 48_000  # episodes
_DELTA: Final[Options] = {"addressing": "delta"}
_APPEND: Final[Options] = {"addressing": "append"}
# With the learning rate of the others it does not learn (docs/log.md).
_TRANSFORMER: Final[Options] = {"model": "transformer", "learning_rate": 1e-3}

_ONE_HOT_5: Final = Config("omniglot")
_STRINGS_5: Final = replace(_ONE_HOT_5, labels="strings")
_STRINGS_15: Final = replace(_STRINGS_5, classes=15)
_ONE_HOT_15: Final = _settings(replace(_ONE_HOT_5, classes=15), _SLOTS, _WIDE, _FEWEST)
_ONE_HOT_20: Final = replace(_ONE_HOT_5, classes=20, presentations=6)  # five shots and a query
# Where memory is not wiped, more slots hold more of the earlier episodes, which mislead (docs/log.md). The published
# rows beside these were trained on as many episodes.
_PERSISTENT: Final[Options] = {"memory": "persistent", **_WIDE, **_FEWEST}
_PERSISTENT_5: Final = _settings(_ONE_HOT_5, _PERSISTENT, {"slots": 16})
_PERSISTENT_10: Final = _settings(
    _ONE_HOT_5, _PERSISTENT, {"slots": 32, "classes": 10, "counting": "random", "length": 75}
)
# One class more every 1000 episodes, ten times as fast as the paper: episodes of up to 1000 steps take their time.
_CURRICULUM: Final = _settings(_STRINGS_15, _FEWEST, {"most_classes": 100, "class_every": 1000, "slots": 256})
_AUTOENCODER: Final = _settings(_STRINGS_5, _FEWEST, {"model": "nearest", "encoder": "autoencoder"})
_CONV_5: Final = _settings(_ONE_HOT_5, _CONV, _FEWER)
_PROTOTYPES_5: Final = _settings(_CONV_5, _PROTOTYPES)
_PROTOTYPES_20: Final = _settings(_ONE_HOT_20, _PROTOTYPES, _CONV_28, _FEWER_AT_ONCE)
# The memory has less to learn behind an encoder that tells images apart already; to make use of it, it needs wider
# words and a wider controller than for pixels (docs/log.md).
_PRETRAINED: Final[Options] = {**_CONV_28, **_WIDE, "hidden_size": 400}
_PRETRAINED_5: Final = _settings(_ONE_HOT_5, _PRETRAINED, _FEWEST)
_PRETRAINED_20: Final = _settings(_ONE_HOT_20, _PRETRAINED, _SLOTS, _FEWER_AT_ONCE)
# Today's memories and models: the default of `train.py omniglot`, and others on the same episodes.
_DELTA_5: Final = _settings(_ONE_HOT_5, PRESETS["default"])
_DELTA_STRINGS_5: Final = replace(_DELTA_5, labels="strings")
_DELTA_15: Final = _settings(replace(_DELTA_5, classes=15), _SLOTS, _FEWER)
_DELTA_STRINGS_15: Final = replace(_DELTA_15, labels="strings")
_SMALL_PROTOTYPES: Final = _settings(_ONE_HOT_5, _PROTOTYPES, _SMALL)
_SMALL_MANN: Final = _settings(_ONE_HOT_5, _SMALL)


def _nearest(table: str, model: str, base: Config) -> Row:
    """Return a row of nearest neighbours of raw pixels, by instance."""
    return Row(table, model, None, 1, _settings(base, _UNTRAINED), Measurement(nearest=True), seeds=())


def _nearest_few_shot(ways: int, minutes: int, base: Config) -> Row:
    """Return a row of nearest neighbours of raw pixels, N-way K-shot."""
    row = _few_shot_row(ways, "nearest neighbour, raw pixels", minutes, _settings(base, _UNTRAINED))
    return row._replace(evaluation=replace(row.evaluation, nearest=True), seeds=())


def _today(table: str, minutes: int, delta: Config, append: Options, measurement: Measurement) -> dict[str, Row]:
    """Return the rows of today's memories and models: each after 48,000 episodes, and the delta rule in full length.

    Args:
        table: The name of the table.
        minutes: Of a training of 48,000 episodes.
        delta: The settings of the delta rule.
        append: Further options of that scheme.
        measurement: The measurement of all rows.
    """
    short = replace(delta, episodes=_SHORT)
    others = {
        "delta": ("delta rule", {}),
        "append": ("attention over all steps", {**_APPEND, **append}),
        "transformer": ("Transformer", _TRANSFORMER),
    }
    full = Row(table, "delta rule", None, minutes * delta.episodes // _SHORT, delta, measurement)
    return {f"{table}-delta": full} | {
        f"{table}-{name}-short": Row(
            table, f"{title}, trained for 48,000 episodes", None, minutes, _settings(short, options), measurement
        )
        for name, (title, options) in others.items()
    }


def _few_shot_row(ways: int, model: str, minutes: int, training: Config, encoder_of: str = "") -> Row:
    """Return a row of N-way K-shot accuracies."""
    evaluation = Measurement(ways=(ways,), shots=SHOTS)
    return Row(f"few-shot-{ways}", model, None, minutes, training, evaluation, encoder_of)


def _maml(ways: int, minutes: int, training: Config) -> Row:
    """Return a row of MAML."""
    return _few_shot_row(ways, "MAML", minutes, training)._replace(needs="learn2learn")


def _curriculum_row(classes: int) -> Row:
    """Return a row of the curriculum, tested with a number of classes; a seed takes too long for three."""
    measurement = Measurement(classes=classes)
    return Row(f"curriculum-{classes}", "MANN", None, 240, _CURRICULUM, measurement, seeds=(0,))


_FROM_20: Final = "one-hot-20-prototypes"
_FROM_SMALL: Final = "precision-prototypes-float32"

ROWS: Final[Mapping[str, Row]] = {
    "one-hot-5-feedforward": Row("one-hot-5", "feed-forward", None, 4, _settings(_ONE_HOT_5, _FEEDFORWARD)),
    "one-hot-5-lstm": Row("one-hot-5", "LSTM", None, 8, _settings(_ONE_HOT_5, _LSTM)),
    "one-hot-5-mann": Row("one-hot-5", "MANN", None, 17, _ONE_HOT_5),
    "one-hot-5-mann-wide": Row("one-hot-5", "MANN, words of 128 numbers", None, 27, _settings(_ONE_HOT_5, _WIDE)),
    "one-hot-5-mann-feedforward": Row(
        "one-hot-5", "MANN, feed-forward controller", None, 15, _settings(_ONE_HOT_5, _MANN_FEEDFORWARD)
    ),
    "one-hot-5-mann-short": Row(
        "one-hot-5", "MANN, trained for 48,000 episodes", None, 3, replace(_ONE_HOT_5, episodes=48_000)
    ),
    "one-hot-5-mann-conv": Row("one-hot-5", "MANN, convolutional encoder", None, 40, _CONV_5),
    "one-hot-5-mann-pretrained": Row(
        "one-hot-5", "MANN, encoder of the 20-class prototypes", None, 45, _PRETRAINED_5, encoder_of=_FROM_20
    ),
    "one-hot-5-prototypes": Row("one-hot-5", "prototypes, convolutional encoder", None, 40, _PROTOTYPES_5),
    **_today("one-hot-5", 3, _DELTA_5, {}, Measurement()),
    "strings-5-knn-pixels": _nearest("strings-5", "KNN, raw pixels", _STRINGS_5),
    "strings-5-knn-deep": Row("strings-5", "KNN, deep features", None, 8, _AUTOENCODER),
    "strings-5-feedforward": Row("strings-5", "feed-forward", None, 4, _settings(_STRINGS_5, _FEEDFORWARD)),
    "strings-5-lstm": Row("strings-5", "LSTM", None, 8, _settings(_STRINGS_5, _LSTM)),
    "strings-5-mann-feedforward": Row(
        "strings-5", "MANN", "feed-forward", 15, _settings(_STRINGS_5, _MANN_FEEDFORWARD)
    ),
    "strings-5-mann": Row("strings-5", "MANN", "LSTM", 18, _STRINGS_5),
    **_today("strings-5", 3, _DELTA_STRINGS_5, {}, Measurement()),
    "strings-15-knn-pixels": _nearest("strings-15", "KNN, raw pixels", _STRINGS_15),
    "strings-15-knn-deep": Row("strings-15", "KNN, deep features", None, 2, _AUTOENCODER, Measurement(classes=15)),
    "strings-15-feedforward": Row("strings-15", "feed-forward", None, 8, _settings(_STRINGS_15, _FEEDFORWARD, _FEWER)),
    "strings-15-lstm": Row("strings-15", "LSTM", None, 15, _settings(_STRINGS_15, _LSTM, _FEWER)),
    "strings-15-mann-feedforward": Row(
        "strings-15", "MANN", "feed-forward", 35, _settings(_STRINGS_15, _MANN_FEEDFORWARD, _SLOTS, _FEWER)
    ),
    "strings-15-mann": Row(
        "strings-15", "MANN, LSTM, a memory of the paper's size", None, 40, _settings(_STRINGS_15, _SLOTS, _FEWER)
    ),
    # Without the losses and confusions of a memory of the paper's size.
    "strings-15-mann-wide": Row("strings-15", "MANN", "LSTM", 55, _settings(_STRINGS_15, _SLOT_EACH, _WIDE, _FEWER)),
    "strings-15-mann-ntm": Row(
        "strings-15", "MANN (NTM access)", "LSTM", 100, _settings(_STRINGS_15, _NTM, _SLOT_EACH, _FEWER)
    ),
    **_today("strings-15", 9, _DELTA_STRINGS_15, _SLOT_EACH, Measurement()),
    "one-hot-15-mann": Row("one-hot-15", "MANN", None, 20, _ONE_HOT_15),
    **_today("one-hot-15", 9, _DELTA_15, _SLOT_EACH, Measurement()),
    "one-hot-20-mann-pretrained": Row(
        "one-hot-20", "MANN, encoder of the prototypes", None, 60, _PRETRAINED_20, encoder_of=_FROM_20
    ),
    "one-hot-20-prototypes": Row("one-hot-20", "prototypes, convolutional encoder", None, 60, _PROTOTYPES_20),
    "precision-prototypes-float32": Row("precision-prototypes", "float32", None, 4, _SMALL_PROTOTYPES),
    "precision-prototypes-bfloat16": Row(
        "precision-prototypes", "bfloat16", None, 3, _settings(_SMALL_PROTOTYPES, _BFLOAT16)
    ),
    "precision-mann-float32": Row("precision-mann", "float32", None, 5, _SMALL_MANN, encoder_of=_FROM_SMALL),
    "precision-mann-bfloat16": Row(
        "precision-mann", "bfloat16", None, 4, _settings(_SMALL_MANN, _BFLOAT16), encoder_of=_FROM_SMALL
    ),
    "one-alphabet-5-mann": Row("one-alphabet-5", "MANN", None, 17, _ONE_HOT_5, Measurement(alphabets="one")),
    **_today("one-alphabet-5", 3, _DELTA_5, {}, Measurement(alphabets="one")),
    "persistent-5-mann": Row("persistent-5", "MANN", "LSTM", 5, _PERSISTENT_5),
    "persistent-5-delta": Row("persistent-5", "delta rule", None, 8, _settings(_PERSISTENT_5, _DELTA, {"slots": 32})),
    "persistent-5-append": Row(
        "persistent-5", "attention over the last 48 steps", None, 8, _settings(_PERSISTENT_5, _APPEND, {"slots": 48})
    ),
    "persistent-10-mann": Row("persistent-10", "MANN", "LSTM", 9, _PERSISTENT_10),
    "persistent-10-delta": Row(
        "persistent-10", "delta rule", None, 12, _settings(_PERSISTENT_10, _DELTA, {"slots": 64})
    ),
    "persistent-10-append": Row(
        "persistent-10", "attention over the last 72 steps", None, 12, _settings(_PERSISTENT_10, _APPEND, {"slots": 72})
    ),
    "curriculum-50-mann": _curriculum_row(50),
    "curriculum-100-mann": _curriculum_row(100),
    "few-shot-5-memory": _few_shot_row(5, "memory, convolutional encoder", 40, _CONV_5),
    "few-shot-5-memory-pretrained": _few_shot_row(
        5, "memory, encoder of the 20-class prototypical networks", 45, _PRETRAINED_5, _FROM_20
    ),
    "few-shot-5-prototypes": _few_shot_row(5, "prototypical networks", 40, _PROTOTYPES_5),
    "few-shot-5-prototypes-20": _few_shot_row(5, "prototypical networks, trained with 20 classes", 60, _PROTOTYPES_20),
    "few-shot-5-maml": _maml(5, 45, _settings(_ONE_HOT_5, _MAML, _CONV, {"batch": 4, "episodes": 20_000})),
    "few-shot-5-nearest": _nearest_few_shot(5, 2, _ONE_HOT_5),
    "few-shot-20-memory-pretrained": _few_shot_row(
        20, "memory, encoder of the prototypical networks", 60, _PRETRAINED_20, _FROM_20
    ),
    "few-shot-20-prototypes": _few_shot_row(20, "prototypical networks", 60, _PROTOTYPES_20),
    "few-shot-20-maml": _maml(20, 180, _settings(_ONE_HOT_20, _MAML, _CONV_28, {"batch": 4, "episodes": 8_000})),
    "few-shot-20-nearest": _nearest_few_shot(20, 8, _ONE_HOT_20),
}

PAPERS: Final = Recipes(TABLES, ROWS)
"""All tables of the papers."""
