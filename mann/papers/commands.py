"""The commands that make a row of a table, derived from its settings; nothing reads them back."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mann.evaluation.measurement import Measurement
from mann.settings import AnyConfig, by_option, preset, presets_of
from mann.settings.options import options_of_model


def training_arguments(config: AnyConfig) -> list[str]:
    """Return the arguments of the training command for settings: the task, a preset, and all options that it leaves.

    Of all presets it is the one that leaves the fewest; the default has no name.

    >>> training_arguments(preset("omniglot", classes=15, labels="strings"))
    ['omniglot', '--classes', '15', '--labels', 'strings']
    >>> training_arguments(preset("omniglot", "lrua", seed=1))
    ['omniglot', '--preset', 'lrua', '--seed', '1']
    """
    names = sorted(presets_of(config.task_name), key=lambda name: name != "default")
    found = [
        ([] if name == "default" else ["--preset", name]) + _beside(config, preset(config.task_name, name))
        for name in names
    ]
    return [config.task_name, *min(found, key=len)]


def _beside(config: AnyConfig, default: AnyConfig) -> list[str]:
    """Return the options in which settings differ from the default, as arguments."""
    # Another model and another scheme come with defaults of their own.
    options = by_option(config)
    named = {
        name: options[name]
        for name in ("model", "addressing")
        if name in options and options[name] != by_option(default).get(name)
    }
    base = options_of_model(default, named)
    return list(_words({**named, **{name: v for name, v in options.items() if v != base[name]}}))


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
