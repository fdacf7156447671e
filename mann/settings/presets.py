"""Whole settings by name, as changes to the defaults: "paper" has the papers' settings, as far as they report them.

docs/one-shot.md and docs/tasks.md name every departure and what the papers leave open.
"""

from collections.abc import Mapping
from typing import Any, Final

from data import DATASETS, InputError
from episodes import TASKS
from mann.addressing import LRUA, NTM
from mann.settings.options import Options, changed
from mann.settings.schema import AnyConfig, Config, Recurrent, TaskConfig

ONE_SHOT: Final[Options] = {
    "addressing": "delta",
    "jitter_rotation": 12.0,
    "jitter_translation": 0.07,
    "jitter_scale": 0.2,
    "jitter_shear": 0.2,
    "episodes": 480_000,
}
"""Most accurate on the validation classes of Omniglot after equal training (docs/log.md)."""

LRUA_TUNED: Final[Options] = {}
"""LRUA with its best options: the schema's defaults, with which most stored results were made."""

PAPER: Final[Options] = {
    "jitter_rotation": 11.25,
    "jitter_translation": 10 / 105,
    "jitter_scale": 0.0,
    "jitter_shear": 0.0,
    "counting": "random",
    "image_scale": 1.0,
    "label_scale": 1.0,
    "slots": 128,
    "scheme": LRUA(),
    "optimizer": "rmsprop",
    "learning_rate": 1e-4,
    "schedule": "constant",
    "warm_up": 0,
    "episodes": 100_000,
}
"""Santoro et al. 2016."""

DEMO: Final[Options] = {
    "addressing": "delta",
    "episodes": 32_000,
    "jitter_rotation": 0.0,
    "jitter_translation": 0.0,
}
"""A short training, for a first look: too short for jitter to pay off."""

PRESETS: Final[Mapping[str, Options]] = {"default": ONE_SHOT, "lrua": LRUA_TUNED, "paper": PAPER, "demo": DEMO}
"""Presets of classification."""

_NTM_PAPER: Final[Options] = {
    "optimizer": "rmsprop",
    "schedule": "constant",
    "warm_up": 0,
    "clip_to_median": None,
    "episodes": 1_000_000,
}
"""Graves et al. 2014: the settings that all tasks share, as far as the paper says."""


def _paper_ntm(heads: int, units: int, learning_rate: float, layers: int = 1) -> Options:
    """Return the options of a row of tables 1 and 2 of Graves et al. 2014, for either controller."""
    sizes = {"hidden_size": units, "layers": layers, "learning_rate": learning_rate}
    return {**_NTM_PAPER, **sizes, "scheme": NTM(read_heads=heads, write_heads=heads)}


def _paper_lstm(units: int, learning_rate: float) -> Options:
    """Return the options of a row of their table 3, the LSTM without memory."""
    return {**_NTM_PAPER, "learning_rate": learning_rate, "model": Recurrent(hidden_size=units, layers=3)}


_FEEDFORWARD: Final[Options] = {"controller": "feedforward"}
# The longest tests write 241 and 221 times: the tape must not wrap around to what is still to be read.
_TAPE: Final[Options] = {"slots": 256}
_LSTM: Final[Options] = {"model": Recurrent(hidden_size=256)}

TASK_PRESETS: Final[Mapping[str, Mapping[str, Options]]] = {
    "default": {
        "copy": {
            **_TAPE,
            **_FEEDFORWARD,
            "initial_biases": 0.5,
            "learning_rate": 2e-3,
            "epsilon": 1e-6,
            "episodes": 320_000,
        },
        "repeat-copy": {
            **_TAPE,
            "controller": "gru",
            "learning_rate": 3e-3,
            "clip_to_median": 3.0,
            "episodes": 400_000,
        },
        "associative-recall": {
            **_FEEDFORWARD,
            "hidden_size": 256,
            "scheme": NTM(read_heads=4, write_heads=4),
            "episodes": 480_000,
        },
        "ngrams": {
            **_FEEDFORWARD,
            "scheme": NTM(read_heads=3, start="recall"),
            "slots": 208,
            "learning_rate": 2e-3,
            "epsilon": 1e-6,
            "clip_to_median": 3.0,
            "batch": 8,
            "episodes": 48_000,
        },
        "priority-sort": {
            **_FEEDFORWARD,
            "hidden_size": 256,
            "scheme": NTM(read_heads=4, start="search"),
            "slots": 48,
            "word_size": 32,
            "learning_rate": 2e-3,
            "episodes": 960_000,
        },
        "regression": {
            "scheme": LRUA(),
            "hidden_size": 200,
            "word_size": 40,
            "learning_rate": 3e-3,
            "episodes": 320_000,
        },
    },
    # Beside the default: as many sequences and the same optimisation, without a memory.
    "lstm": {
        "copy": {**_LSTM, "episodes": 320_000},
        "associative-recall": {**_LSTM, "episodes": 480_000},
        "repeat-copy": {**_LSTM, "episodes": 400_000},
        "ngrams": {**_LSTM, "batch": 8, "episodes": 48_000},
        "priority-sort": {**_LSTM, "episodes": 960_000},
        "regression": {**_LSTM, "episodes": 320_000},
        **{name: _LSTM for name, task in TASKS.items() if task.answer_kind == "tokens"},
    },
    "paper-feedforward-ntm": {
        "copy": {**_paper_ntm(1, 100, 1e-4), **_FEEDFORWARD},
        "repeat-copy": {**_paper_ntm(1, 100, 1e-4), **_FEEDFORWARD},
        "associative-recall": {**_paper_ntm(4, 256, 1e-4), **_FEEDFORWARD},
        "ngrams": {**_paper_ntm(1, 100, 3e-5), **_FEEDFORWARD},
        "priority-sort": {**_paper_ntm(8, 512, 3e-5), **_FEEDFORWARD},
    },
    "paper-lstm-ntm": {
        "copy": _paper_ntm(1, 100, 1e-4),
        "repeat-copy": _paper_ntm(1, 100, 1e-4),
        "associative-recall": _paper_ntm(1, 100, 1e-4),
        "ngrams": _paper_ntm(1, 100, 3e-5),
        "priority-sort": _paper_ntm(5, 100, 3e-5, layers=2),
    },
    "paper-lstm": {
        "copy": _paper_lstm(256, 3e-5),
        "repeat-copy": _paper_lstm(512, 3e-5),
        "associative-recall": _paper_lstm(256, 1e-4),
        "ngrams": _paper_lstm(128, 1e-4),
        "priority-sort": _paper_lstm(128, 3e-5),
    },
}
"""Presets of the algorithmic tasks, by preset and task; docs/tasks.md counts the parameters."""


def presets_of(task: str) -> Mapping[str, Options]:
    """Return the presets of a data set or a task: by name, the options that each changes.

    Raises:
        InputError: there is no such data set or task.
    """
    if task in DATASETS:
        return PRESETS
    if task not in TASKS:
        raise InputError(f"no task is named {task!r}: use one of {', '.join((*DATASETS, *TASKS))}")
    # Every task has a default, changed or not.
    return {name: of.get(task, {}) for name, of in TASK_PRESETS.items() if name == "default" or task in of}


def preset(task: str, name: str = "default", **options: Any) -> AnyConfig:
    """Return the settings of a preset for a data set or a task, with some options changed.

    Args:
        task: A data set ("omniglot", "strokes", "folder") or an algorithmic task.
        name: One of `presets_of`.
        options: By name; see `mann.settings.options.changed`.

    Raises:
        InputError: there is no such task, preset or option, or the values do not fit.

    >>> preset("omniglot", "paper", classes=15).model.slots
    128
    """
    return with_preset(defaults(task), name, options)


def defaults(task: str) -> AnyConfig:
    """Return the settings of a data set or a task before any preset.

    Raises:
        InputError: there is no such data set or task.
    """
    presets_of(task)  # refuses an unknown task
    return Config(task) if task in DATASETS else TaskConfig(sizes=TASKS[task]())  # pyright: ignore[reportArgumentType]


def with_preset(config: AnyConfig, name: str, options: Options) -> AnyConfig:
    """Return settings with the options of a preset changed, and then `options`.

    Raises:
        InputError: see `preset`.
    """
    known = presets_of(config.task_name)
    if name not in known:
        raise InputError(f"no preset of {config.task_name} is named {name!r}: use one of {', '.join(known)}")
    return changed(changed(config, known[name]), options)
