"""The options of the training command: those of the settings, generated from them, and those of the run.

An option that is not given is absent from what tyro returns, so that presets and the settings of a resumed run apply.
"""

from collections.abc import Mapping
from functools import reduce
from itertools import chain, pairwise
from operator import or_
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Required,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import tyro

from data import DATASETS
from episodes import TASKS
from mann.addressing import SCHEMES
from mann.cli.command_line import field_docs, parse
from mann.settings import MODELS, AnyConfig, Config, Memory, Recurrent, Transformer, by_option, default_scheme, preset
from mann.settings.options import SEQUENCE_MODELS, own_fields
from mann.settings.registration import is_reference, load_scheme
from mann.training import LoggingInterval

TASK_NAMES: Final = (*DATASETS, *TASKS)

_ABOUT: Final[Mapping[str, str]] = {
    "omniglot": "One-shot classification of Omniglot's characters (downloaded once, or in a folder: --root).",
    "strokes": "One-shot classification of the built-in characters; no download.",
    "folder": "One-shot classification of your own images, in a folder for each class: --root.",
    "copy": "Copy a sequence of bits (Graves et al. 2014).",
    "repeat-copy": "Copy a sequence a given number of times (Graves et al. 2014).",
    "associative-recall": "Recall the item that followed a given item (Graves et al. 2014).",
    "ngrams": "Predict the bits of a random 6-gram source (Graves et al. 2014).",
    "priority-sort": "Sort vectors by priority (Graves et al. 2014).",
    "regression": "Predict a function from a few of its points (Santoro et al. 2016).",
    "parity": "Tell whether the number of ones is odd (Deletang et al. 2022, as the next seven).",
    "cycle-navigation": "Give the position on a circle after a walk.",
    "reverse-string": "Give a string backwards.",
    "stack-manipulation": "Give a stack after pushes and pops.",
    "duplicate-string": "Give a string twice.",
    "missing-duplicate": "Give the masked token of a doubled string.",
    "odds-first": "Give the tokens at odd places of a string, then the others.",
    "bucket-sort": "Sort tokens.",
    "continuous-recall": "Give the value of each key (Arora et al. 2023).",
    "forgetting-recall": "Give the last value of each key, where some have two (Arora et al. 2023).",
    "state-tracking": "Give the running product of elements of a group (Merrill et al. 2024).",
}


class RunOptions(TypedDict, total=False):
    """The options of the run, beside those of its settings."""

    run: Annotated[Path, tyro.conf.arg(help="Folder for the run.", help_behavior_hint="(default: runs/TASK)")]
    resume: Annotated[
        bool,
        tyro.conf.arg(
            help="Continue the run in the folder, or start it; its settings need not be repeated.",
            help_behavior_hint="(default: False)",
        ),
    ]
    preset: Annotated[
        str,
        tyro.conf.arg(
            help="Settings to start from: default, lrua (LRUA as it learns best), paper (Santoro et al. 2016), demo "
            "(short); of an algorithmic task default, lstm (without memory, to compare with), or of Graves et al. 2014 "
            "paper-feedforward-ntm, paper-lstm-ntm, paper-lstm.",
            help_behavior_hint="(default: default)",
        ),
    ]
    device: Annotated[
        str, tyro.conf.arg(help="Device to train on: auto, cpu or cuda.", help_behavior_hint="(default: auto)")
    ]
    save_seconds: Annotated[
        float,
        tyro.conf.arg(
            help="Seconds between two checkpoints; after a kill, training continues from the last one.",
            help_behavior_hint=f"(default: {LoggingInterval.save_seconds:g})",
        ),
    ]


def parse_training(arguments: list[str], **settings: Any) -> dict[str, Any]:
    """Read the command line of a training: {"task": NAME, and the options that were given}.

    Raises:
        InputError: the arguments do not fit.
    """
    _load_own_schemes(arguments)
    # Suggestions are options of the task, once it is known.
    named = [task for task in arguments[:1] if task in TASK_NAMES]
    known = [*RunOptions.__annotations__, *(name for task in named for name in _settings_options(preset(task)))]
    return parse(_all_tasks(), arguments, known, {"task": TASK_NAMES}, **settings)


def _load_own_schemes(arguments: list[str]) -> None:
    """Load the schemes that a command line names by their files, so that their options are known."""
    option = "--addressing"
    given = [value for before, value in pairwise(arguments) if before == option]
    given += [word.removeprefix(f"{option}=") for word in arguments if word.startswith(f"{option}=")]
    for value in filter(is_reference, given):
        load_scheme(value)


def _all_tasks() -> Any:
    """Return the union of the options of all tasks, each a subcommand."""
    kinds = (
        Annotated[
            _options_of(name),
            tyro.conf.subcommand(name, default={"task": name}, description=_ABOUT[name], prefix_name=False),
        ]
        for name in TASK_NAMES
    )
    return Union[tuple(kinds)]  # noqa: UP007


def _options_of(task: str) -> type[Any]:
    """Return the options of a task, none of which has to be given."""
    default = preset(task)
    # The options of schemes have a default for each scheme, in the help itself.
    values = {name: value for name, value in by_option(default).items() if not name.startswith("scheme.")}
    hints = {name: f"(default: {_text(value)})" for name, value in values.items()}
    fields: dict[str, Any] = {"task": Required[Annotated[str, tyro.conf.Fixed, tyro.conf.Suppress]]}
    fields |= get_type_hints(RunOptions, include_extras=True)
    for name, (annotation, doc) in _settings_options(default).items():
        # Without the name, tyro would write "scheme.read_heads" in the help.
        how = tyro.conf.arg(name=name.replace("_", "-"), help=doc, help_behavior_hint=hints.get(name, ""))
        fields[name] = Annotated[annotation, how]
    return TypedDict("Options", fields, total=False)  # pyright: ignore[reportArgumentType]


def _settings_options(default: AnyConfig) -> dict[str, tuple[Any, str]]:
    """Return type and meaning of every option of the settings, in the order of the help."""
    images = isinstance(default, Config)
    models = tuple(MODELS) if images else SEQUENCE_MODELS
    found = {
        "model": (Literal[models], field_docs(type(default))["model"]),
        "addressing": (
            str,
            f"Addressing scheme of the memory: {', '.join(SCHEMES)}; or FILE.py:CLASS for one of your own "
            "(docs/own-memory.md).",
        ),
        **_part(Recurrent),
        **_part(Memory),
        **_part(Transformer),
        **_scheme_options(images),
        **_part(type(default)),
    }
    if not images:
        found |= {f"sizes.{name}": option for name, option in _part(type(default.sizes)).items()}
    return {name: option for name, option in found.items() if name not in ("scheme", "sizes", "dataset")}


def _part(kind: type[Any]) -> dict[str, tuple[Any, str]]:
    """Return type and meaning of the options of settings, a model, a scheme or a task."""
    hints, docs = get_type_hints(kind), field_docs(kind)
    return {
        entry.name: (hints[entry.name], docs.get(entry.name, "")) for entry in own_fields(kind) if entry.name != "model"
    }


def _scheme_options(images: bool) -> dict[str, tuple[Any, str]]:
    """Return the options of all schemes; those of one name are one option, with the default of each scheme."""
    found: dict[str, tuple[Any, str]] = {}
    for name, kinds in _schemes_by_option().items():
        annotations = dict.fromkeys(hint for hint, _ in kinds.values())
        docs = dict.fromkeys(doc for _, doc in kinds.values())
        defaults = ", ".join(f"{scheme} {_text(getattr(default_scheme(scheme, images), name))}" for scheme in kinds)
        found[f"scheme.{name}"] = (_either(tuple(annotations)), f"{' / '.join(docs)} ({defaults})")
    return found


def _either(annotations: tuple[Any, ...]) -> Any:
    """Return the union of types; literals become one literal without repetitions."""
    if all(get_origin(annotation) is Literal for annotation in annotations):
        return Literal[tuple(dict.fromkeys(chain.from_iterable(map(get_args, annotations))))]
    return reduce(or_, annotations)


def _schemes_by_option() -> dict[str, dict[str, tuple[Any, str]]]:
    """Return by the name of an option the schemes that have it, with its type and meaning."""
    found: dict[str, dict[str, tuple[Any, str]]] = {}
    for scheme, kind in SCHEMES.items():
        for name, option in _part(kind).items():
            found.setdefault(name, {})[scheme] = option
    return found


def _text(value: object) -> str:
    """Return a default as the command line has it."""
    return "none" if value is None else str(value)


def settings_given(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the settings among those given."""
    others = {"task", *RunOptions.__annotations__}
    return {name: value for name, value in given.items() if name not in others}
