"""Everything that a classification run depends on, with its defaults; this is the command line too.

`PRESETS` names whole settings. The default is what learned best on the validation classes (docs/log.md says what was
tried); "paper" is Santoro et al. 2016 as far as the paper says.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import tyro
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError, ValidationInfo, WrapValidator

from data import DATASETS, InputError
from episodes import LABELS
from mann.addressing import LRUA, SCHEMES
from mann.controllers import CONTROLLERS
from mann.start import StartingMemory

AtLeastOne = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]


def _options_of_scheme(value: Any, _: Any, info: ValidationInfo) -> Any:
    """Read the options of the scheme that `addressing` names; a network without memory has none."""
    scheme = SCHEMES.get(info.data.get("addressing", ""))
    if scheme is None:
        return None
    return TypeAdapter(scheme).validate_json(json.dumps(value))


Options = Annotated[Any, WrapValidator(_options_of_scheme)]
"""An instance of one of `SCHEMES`, or None."""


@dataclass(frozen=True)
class Config:
    """Settings of a classification run; `checked` refuses what is out of range."""

    __pydantic_config__ = ConfigDict(  # pyright: ignore[reportGeneralTypeIssues]
        extra="forbid", strict=True, allow_inf_nan=False
    )

    dataset: Annotated[str, tyro.conf.Suppress]
    """What to learn from: omniglot, strokes or folder."""

    root: Path | None = None
    """Folder with the data. omniglot: the two archives or extracted folders (none: download). folder: your classes."""
    split: str | None = None
    """Which classes are for training, validation and test: a name or a .json file (none: the data set's own)."""
    size: Annotated[int, Ge(8), Le(105)] = 20
    """Side of the images in pixels (the paper: 20)."""
    rotations: bool = True
    """Add every training class turned by 90, 180 and 270 degrees as new classes."""

    classes: Annotated[int, Ge(2)] = 5
    """Classes in an episode."""
    labels: str = "one-hot"
    """How classes are named in an episode: one-hot, or strings of five characters of {a..e}."""
    presentations: AtLeastOne = 10
    """How often a class is shown in an episode."""
    counting: Literal["exact", "random"] = "exact"
    """Show every class equally often, or draw classes * presentations drawings at random."""
    jitter_rotation: Annotated[float, Ge(0), Le(180)] = 6.0
    """Largest random rotation of a drawing, in degrees (the paper: 11.25)."""
    jitter_translation: Annotated[float, Ge(0), Le(0.5)] = 0.03
    """Largest random move of a drawing, as a share of its side (the paper: 0.095)."""

    image_scale: Positive = 2.0
    """The network sees pixels times this (the paper: 1)."""
    label_scale: Positive = 4.0
    """The network sees the label's ones as this (the paper: 1)."""
    controller: str = "lstm"
    """What drives the memory: lstm, gru or feedforward."""
    layers: AtLeastOne = 1
    """Layers of the controller."""
    hidden_size: AtLeastOne = 200
    """Width of a layer of the controller."""
    addressing: str = "lrua"
    """How memory is addressed: one of the schemes, or none for a network without memory (the baselines)."""
    slots: AtLeastOne = 64
    """Memory locations (N; the paper: 128)."""
    word_size: AtLeastOne = 40
    """Numbers in a location (W)."""
    initial_memory: StartingMemory = "constant"
    """What memory holds at first: a small constant, numbers drawn once, or learned numbers."""
    initial_heads: Literal["plain", "learned"] = "plain"
    """What heads have read and where they are at first: nothing and as the scheme says, or learned."""
    read_first: bool = False
    """Read before the write of the same step, instead of after it."""
    clip_emitted: Positive | None = None
    """Largest magnitude of what the controller emits and of the outputs (none: any)."""
    scheme: Options = field(
        default_factory=lambda: LRUA(
            read_heads=2, key_strength=8.0, write_vector="add", least_used="own", zeroed="all", start="paired"
        )
    )
    """Options of the scheme of addressing."""

    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Adam, or RMSProp with decay 0.95 and momentum 0.9 (the paper)."""
    learning_rate: Positive = 3e-3
    """Learning rate after the warm-up."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up: down to 0 along a half cosine, or not at all."""
    warm_up: Annotated[int, Ge(0)] = 200
    """Steps over which the learning rate rises from 0."""
    clip: Positive = 10.0
    """Largest norm of the gradient; a larger one is scaled down."""
    batch: AtLeastOne = 16
    """Episodes in a training step."""
    episodes: AtLeastOne = 300_000
    """Episodes to train on; rounded up to whole steps."""
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    """Seed of the weights and the episodes (weights are drawn with a generator of 32-bit seeds)."""

    @property
    def steps(self) -> int:
        """Training steps."""
        return math.ceil(self.episodes / self.batch)


_ADAPTER = TypeAdapter(Config)
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dataset": tuple(DATASETS),
        "labels": tuple(LABELS),
        "controller": tuple(CONTROLLERS),
        "addressing": (*SCHEMES, "none"),
    }
)


def checked(config: Config) -> Config:
    """Return `config` if every value is of its type and in its range.

    Raises:
        InputError: names the first value that is not, what was found and what is expected.
    """
    return config_from_json(config_json(config), "the settings")


def read_config(path: Path) -> Config:
    """Read the `config.json` of a run.

    Raises:
        InputError: there is none, or it is not what `write_config` wrote.
    """
    try:
        return config_from_json(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): is {path.parent} the folder of a run?") from error


def config_json(config: Config) -> str:
    """Return the text of `config.json`."""
    return json.dumps(asdict(config), indent=2, default=str) + "\n"


def differing(one: Config, other: Config) -> list[str]:
    """Return which settings differ and how; where the data lie is not a setting."""
    others = dict(_flat(other))
    return [
        f"{name} is {value}, not {others[name]}"
        for name, value in _flat(one)
        # Options of different schemes cannot be compared; that the schemes differ is said already.
        if name != "root" and name in others and value != others[name]
    ]


def _flat(options: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of every option, those of the scheme as "scheme.read_heads"."""
    for entry in fields(options):
        value = getattr(options, entry.name)
        if is_dataclass(value):
            yield from _flat(value, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, value


def config_from_json(text: str | bytes, source: str) -> Config:
    """Read what `config_json` returned; `source` says in errors where it was.

    Raises:
        InputError: names the first value that is wrong, what was found and what is expected.
    """
    try:
        config = _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise InputError(f"{source}: {where}: {first['msg']}, found {str(first.get('input'))[:60]}") from error
    for name, choices in _CHOICES.items():
        if getattr(config, name) not in choices:
            raise InputError(f"{source}: no {name} is named {getattr(config, name)!r}: use one of {', '.join(choices)}")
    return config


PAPER: Mapping[str, Any] = MappingProxyType(
    {
        "jitter_rotation": 11.25,
        "jitter_translation": 10 / 105,
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
)
"""What the paper says, as far as it does; docs/one-shot.md names every departure."""

DEMO: Mapping[str, Any] = MappingProxyType({"episodes": 32_000, "jitter_rotation": 0.0, "jitter_translation": 0.0})
"""A short training, for a first look: too short for jitter to be worth its price."""

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType({"default": {}, "paper": PAPER, "demo": DEMO})
"""Whole settings by name, as changes to the defaults."""


def preset(dataset: str, name: str, addressing: str | None = None) -> Config:
    """Return the settings of a preset for a data set, with another way of addressing if one is named.

    Raises:
        InputError: there is no such data set, preset or scheme.
    """
    if dataset not in DATASETS:
        raise InputError(f"no task is named {dataset!r}: use one of {', '.join(DATASETS)}")
    if name not in PRESETS:
        raise InputError(f"no preset is named {name!r}: use one of {', '.join(PRESETS)}")
    return addressed(replace(Config(dataset), **PRESETS[name]), addressing)


def addressed(config: Config, addressing: str | None) -> Config:
    """Return the settings with memory addressed by another scheme, or none, with the scheme's own defaults.

    Raises:
        InputError: there is no such scheme.
    """
    if addressing in (None, config.addressing):
        return config
    if addressing == "none":
        return replace(config, addressing=addressing, scheme=None)
    if addressing not in SCHEMES:
        raise InputError(f"no addressing is named {addressing!r}: use one of {', '.join(SCHEMES)}, none")
    # By content alone, slots that start alike stay alike.
    memory = "learned" if addressing == "content" else config.initial_memory
    return replace(config, addressing=addressing, scheme=SCHEMES[addressing](), initial_memory=memory)
