"""The figures that papers report: by instance, and N-way K-shot, which are two measures.

By instance: Santoro et al. 2016 (arXiv 1605.06065, Tables 1 and 2). All are accuracies on Omniglot characters not seen
in training, after 100,000 episodes, by instance: 1 at the first presentation of a class in an episode, then 2, 3, ...
They are not N-way K-shot accuracies: at the 2nd instance one example of the class has been seen, and any number of the
others.

With a memory that is not wiped between episodes: Le et al. 2019 (arXiv 1906.08862), who trained LRUA on one-hot labels
for as many episodes.

N-way K-shot: later papers on Omniglot, each on a split of its own.

Strings: Deletang et al. 2022 (arXiv 2207.02098).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from mann.evaluation.few_shot_accuracy import SHOTS
from mann.evaluation.figures import INSTANCES


class Published(NamedTuple):
    """One row of a table.

    Attributes:
        model: Such as "MANN" (with the LRUA access unless it says otherwise), "LSTM", "human".
        controller: "LSTM" or "feed-forward"; None where the table names none.
        accuracies: Fraction of right answers by instance, or by the number of shots.
    """

    model: str
    controller: str | None
    accuracies: dict[int, float]


def _row(model: str, controller: str | None, *percent: float) -> Published:
    """Turn a row as printed into fractions; one figure for each of `INSTANCES`."""
    fractions = (round(figure / 100, 3) for figure in percent)
    return Published(model, controller, dict(zip(INSTANCES, fractions, strict=True)))


# By number of classes and kind of labels; in percent, at instances 1, 2, 3, 4, 5 and 10.
_ROWS: dict[tuple[int, str], tuple[Published, ...]] = {
    # Table 1
    (5, "one-hot"): (
        _row("human", None, 34.5, 57.3, 70.1, 71.8, 81.4, 92.4),
        _row("feed-forward", None, 24.4, 19.6, 21.1, 19.9, 22.8, 19.5),
        _row("LSTM", None, 24.4, 49.5, 55.3, 61.0, 63.6, 62.5),
        _row("MANN", None, 36.4, 82.8, 91.0, 92.6, 94.9, 98.1),
    ),
    # Table 2
    (5, "strings"): (
        _row("KNN, raw pixels", None, 4.0, 36.7, 41.9, 45.7, 48.1, 57.0),
        _row("KNN, deep features", None, 4.0, 51.9, 61.0, 66.3, 69.3, 77.5),
        _row("feed-forward", None, 0.0, 0.2, 0.0, 0.2, 0.0, 0.0),
        _row("LSTM", None, 0.0, 9.0, 14.2, 16.9, 21.8, 25.5),
        _row("MANN", "feed-forward", 0.0, 8.0, 16.2, 25.2, 30.9, 46.8),
        _row("MANN", "LSTM", 0.0, 69.5, 80.4, 87.9, 88.4, 93.1),
    ),
    (15, "strings"): (
        _row("KNN, raw pixels", None, 0.5, 18.7, 23.3, 26.5, 29.1, 37.0),
        _row("KNN, deep features", None, 0.4, 32.7, 41.2, 47.1, 50.6, 60.0),
        _row("feed-forward", None, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0),
        _row("LSTM", None, 0.0, 2.2, 2.9, 4.3, 5.6, 12.7),
        _row("MANN", "feed-forward", 0.1, 12.8, 22.3, 28.8, 32.2, 43.4),
        _row("MANN", "LSTM", 0.1, 62.6, 79.3, 86.6, 88.7, 95.3),
        _row("MANN (NTM access)", "LSTM", 0.0, 35.4, 61.2, 71.7, 77.7, 88.4),
    ),
}


def published_rows(classes: int, labels: str) -> list[Published]:
    """Return all rows of Table 1 (labels "one-hot") or Table 2 ("strings"), in the paper's order.

    Empty where the paper reports nothing for this number of classes and these labels.
    """
    return list(_ROWS.get((classes, labels), ()))


def published_row(model: str, classes: int, labels: str) -> Published | None:
    """Return the row of one model, that with the LSTM if there are several; None where the paper reports nothing.

    >>> published_row("MANN", 5, "one-hot").accuracies[2]
    0.828
    """
    for row in published_rows(classes, labels):
        if row.model == model and row.controller != "feed-forward":
            return row
    return None


# By number of classes: at the 2nd, 3rd and 5th instance.
_PERSISTENT = {5: (66.2, 73.4, 81.0), 10: (51.3, 59.2, 63.3)}


def published_persistent(classes: int) -> list[Published]:
    """Return the rows of a memory that is not wiped between episodes; empty except for 5 and 10 classes."""
    if classes not in _PERSISTENT:
        return []
    accuracies = {at: round(figure / 100, 3) for at, figure in zip((2, 3, 5), _PERSISTENT[classes], strict=True)}
    return [Published("MANN", "LSTM", accuracies)]


# 5 ways and 1 shot, 5 and 5, 20 and 1, 20 and 5.
_FEW_SHOT = {
    "Siamese networks": (97.3, 98.4, 88.2, 97.0),
    "matching networks": (98.1, 98.9, 93.8, 98.5),
    "memory module (Kaiser et al. 2017)": (98.4, 99.6, 95.0, 98.6),
    "prototypical networks": (98.8, 99.7, 96.0, 98.9),
    "MAML": (98.7, 99.9, 95.8, 98.9),
    "SNAIL": (99.07, 99.78, 97.64, 99.36),
}


def published_few_shot(ways: int) -> list[Published]:
    """Return the rows for a number of ways, by the number of shots; empty except for 5 and 20 ways."""
    if ways not in (5, 20):
        return []
    first = 0 if ways == 5 else 2
    return [
        Published(model, None, {shots: round(percent[first + place] / 100, 4) for place, shots in enumerate(SHOTS)})
        for model, percent in _FEW_SHOT.items()
    ]


_STRINGS = ("reverse-string", "stack-manipulation", "duplicate-string", "odds-first", "parity")
PUBLISHED_STRINGS: Final[Mapping[str, Mapping[str, float]]] = {
    model: dict(zip(_STRINGS, figures, strict=True))
    for model, figures in {
        "RNN": (62.0, 56.0, 50.3, 51.0, 100.0),
        "Stack-RNN": (100.0, 100.0, 52.8, 51.9, 100.0),
        "Tape-RNN": (100.0, 100.0, 100.0, 100.0, 100.0),
        "Transformer": (62.3, 57.5, 52.8, 52.8, 52.0),
        "LSTM": (60.9, 59.1, 57.6, 55.6, 100.0),
    }.items()
}
"""Accuracy a token in % on lengths 41 to 500, the best of 10 seeds, by model and task: Deletang et al. 2022."""
