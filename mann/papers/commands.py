"""The commands that make a row of a table, derived from its settings; nothing reads them back."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mann.evaluation.measurement import Measurement
from mann.settings import AnyConfig, by_option, preset
from mann.settings.options import options_of_model


def training_arguments(config: AnyConfig) -> list[str]:
    """Return the arguments of the training command for settings: the task, and all options but the defaults.

    >>> training_arguments(preset("omniglot", classes=15, labels="strings"))
    ['omniglot', '--classes', '15', '--labels', 'strings']
    """
    # Another model and another scheme come with defaults of their own.
    default = preset(config.task_name)
    options = by_option(config)
    named = {
        name: options[name]
        for name in ("model", "addressing")
        if name in options and options[name] != by_option(default).get(name)
    }
    base = options_of_model(default, named)
    return [config.task_name, *_words({**named, **{name: v for name, v in options.items() if v != base[name]}})]


def evaluation_arguments(measurement: Measurement) -> list[str]:
    """Return the arguments of the evaluation command for a measurement, but for the run.

    >>> evaluation_arguments(Measurement(ways=(5,), shots=(1, 5)))
    ['--ways', '5', '--shots', '1', '5']
    """
    default = Measurement()
    names = [entry.name for entry in fields(measurement)]
    return list(_words({n: getattr(measurement, n) for n in names if getattr(measurement, n) != getattr(default, n)}))


def place_arguments(**places: Path | None) -> list[str]:
    """Return the arguments for folders, such as root=...; None: left out."""
    return list(_words({name: place for name, place in places.items() if place is not None}))


def _words(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield options as the words of a command line."""
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield f"--{option}"
            values = value if isinstance(value, tuple) else (value,)
            yield from ("none" if one is None else str(one) for one in values)
