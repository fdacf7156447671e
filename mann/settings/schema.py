"""Everything that a run depends on, with its defaults; this is the command line too.

`PRESETS` names whole settings. The default is what learned best on the validation classes (docs/log.md says what was
tried); "paper" is Santoro et al. 2016 as far as the paper says.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, cast

import tyro
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError, ValidationInfo, WrapValidator

from data import DATASETS, InputError, parse_json
from episodes import LABELS, TASKS
from mann.addressing import LRUA, NTM, SCHEMES, Scheme
from mann.addressing.scheme import AtLeastOne
from mann.models.controllers import CONTROLLERS, Activation
from mann.models.encoders import ENCODERS
from mann.models.initial_state import StartingHeads, StartingMemory

Positive = Annotated[float, Gt(0)]


def _options_of_scheme(value: Any, _: Any, info: ValidationInfo) -> Any:
    """Read the options of the scheme that `addressing` names; a network without memory has none."""
    scheme = SCHEMES.get(info.data.get("addressing", ""))
    if scheme is None:
        return None
    return TypeAdapter(scheme).validate_json(json.dumps(value))


Options = Annotated[Any, WrapValidator(_options_of_scheme)]
"""An instance of one of `SCHEMES`, or None."""


def default_scheme(name: str, images: bool) -> Scheme:
    """Return a scheme with the options that learn classes of images or the tasks best; for most, those of its file."""
    if name == "lrua":
        return LRUA(read_heads=2, key_strength=8.0, write_vector="add", least_used="own", zeroed="all", start="paired")
    if name == "ntm" and images:
        return NTM(read_heads=2, start="recognise")
    return SCHEMES[name]()


_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What runs of all kinds have in common: the network and its training."""

    __pydantic_config__ = _STRICT  # pyright: ignore[reportGeneralTypeIssues]

    controller: str = "lstm"
    """What drives the memory: lstm, gru or feedforward."""
    layers: AtLeastOne = 1
    """Layers of the controller."""
    hidden_size: AtLeastOne = 200
    """Width of a layer of the controller."""
    initial_biases: Annotated[float, Ge(0)] = 0.0
    """Largest magnitude of the biases that a feed-forward controller starts with; others start with their own."""
    activation: Activation = "tanh"
    """What the units of a feed-forward controller of a memory do with their sums; others have their own."""
    addressing: str = "lrua"
    """How memory is addressed: one of the schemes; or none for a network without memory, or what has no controller
    either (the baselines): prototypes, a prototypical network of one-hot labels; nearest, the nearest neighbour by the
    features of --encoder autoencoder; maml, MAML of --encoder conv with one-hot labels, for N-way K-shot alone."""
    slots: AtLeastOne = 64
    """Memory locations (N; the paper: 128)."""
    word_size: AtLeastOne = 40
    """Numbers in a location (W)."""
    initial_memory: StartingMemory = "constant"
    """What memory holds at first: a small constant, numbers drawn once, or learned numbers."""
    initial_heads: StartingHeads = "plain"
    """What heads have read and where they are at first: nothing and as the scheme says, or learned."""
    read_first: bool = False
    """Read before the write of the same step, instead of after it."""
    clip_emitted: Positive | None = None
    """Largest magnitude of what the controller emits and of the outputs (none: any)."""
    scheme: Options = field(default_factory=lambda: default_scheme("lrua", images=True))
    """Options of the scheme of addressing."""

    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Adam, or RMSProp with decay 0.95 and momentum 0.9 (the paper)."""
    learning_rate: Positive = 3e-3
    """Learning rate after the warm-up."""
    epsilon: Positive = 1e-8
    """What Adam and RMSProp add to the root of the mean square of a gradient: smaller gradients move weights less."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up: down to 0 along a half cosine, or not at all."""
    warm_up: Annotated[int, Ge(0)] = 200
    """Steps over which the learning rate rises from 0."""
    clip: Positive = 10.0
    """Largest norm of the gradient; a larger one is scaled down."""
    clip_to_median: Positive | None = None
    """Largest norm as a multiple of the median norm of the last 100 steps, at the full learning rate; at a lower one as
    much larger (none: any multiple)."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """A step whose loss or gradient is not finite stops the training before the update, or is left out and counted."""
    batch: AtLeastOne = 16
    """Episodes in a training step."""
    episodes: AtLeastOne = 300_000
    """Episodes to train on; rounded up to whole steps."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Digits of the products of a training step. tf32: fewer on GPUs that have it; bfloat16: fewer still, and on CPUs
    that have it too, in encoders and products over all steps. Memories, weights and evaluations have all of them."""
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    """Seed of the weights and the episodes (weights are drawn with a generator of 32-bit seeds)."""

    @property
    def steps(self) -> int:
        """Training steps."""
        return math.ceil(self.episodes / self.batch)


@dataclass(frozen=True)
class Config(Settings):
    """Settings of a classification run; `checked` refuses what is out of range."""

    __pydantic_config__ = _STRICT  # pyright: ignore[reportGeneralTypeIssues]

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
    """Classes in an episode; in a curriculum, at first."""
    most_classes: Annotated[int, Ge(2)] | None = None
    """Curriculum: episodes get one class more every --class-every episodes, up to so many (none: always --classes)."""
    class_every: AtLeastOne = 10_000
    """Episodes after which a curriculum adds a class (the paper: 10,000)."""
    labels: str = "one-hot"
    """How classes are named in an episode: one-hot, or strings of five characters of {a..e}."""
    presentations: AtLeastOne = 10
    """How often a class is shown in an episode."""
    counting: Literal["exact", "random"] = "exact"
    """Show every class equally often, or draw classes * presentations drawings at random."""
    alphabets: Literal["all", "one"] = "all"
    """Draw the classes of an episode from all alphabets, or from one (omniglot)."""
    length: AtLeastOne | None = None
    """Steps after which an episode ends (none: when all of its drawings were shown)."""
    memory: Literal["wiped", "persistent"] = "wiped"
    """Between one episode and the next memory is wiped, or stays as it is."""
    jitter_rotation: Annotated[float, Ge(0), Le(180)] = 6.0
    """Largest random rotation of a drawing, in degrees (the paper: 11.25)."""
    jitter_translation: Annotated[float, Ge(0), Le(0.5)] = 0.03
    """Largest random move of a drawing, as a share of its side (the paper: 0.095)."""

    encoder: str = "none"
    """What the network sees of an image: none: its pixels; conv: features of a convolutional network, learned too;
    autoencoder: 32 numbers from which it can be drawn again, for --addressing nearest."""
    encoder_width: AtLeastOne = 64
    """Channels of each of the four blocks of conv."""
    encoder_rate: Positive = 0.1
    """An encoder learns with the learning rate times this: faster than the memory, which has no use for its features at
    first, it would lose them (1 where nothing else learns: prototypes, nearest, maml)."""
    encoder_from: Path | None = None
    """Folder of a run whose trained encoder to start from, such as a prototypical network's (none: new weights)."""
    image_scale: Positive = 2.0
    """The network sees pixels or features times this (the paper: 1)."""
    label_scale: Positive = 4.0
    """The network sees the label's ones as this (the paper: 1)."""

    @property
    def labelled(self) -> int:
        """Classes that labels have to tell apart: as many as an episode ever has."""
        return max(self.classes, self.most_classes or 0)


def _sizes_of_task(value: Any, _: Any, info: ValidationInfo) -> Any:
    """Read the sizes of the task that `task` names."""
    task = TASKS.get(info.data.get("task", ""))
    return None if task is None else TypeAdapter(task).validate_json(json.dumps(value))


@dataclass(frozen=True, kw_only=True)
class TaskConfig(Settings):
    """Settings of a run of one of the algorithmic tasks; `checked` refuses what is out of range."""

    __pydantic_config__ = _STRICT  # pyright: ignore[reportGeneralTypeIssues]

    task: Annotated[str, tyro.conf.Suppress]
    """What to learn."""
    sizes: Annotated[Any, WrapValidator(_sizes_of_task)]
    """The sizes of the task's episodes: an instance of one of `TASKS`."""

    hidden_size: AtLeastOne = 100
    """Width of a layer of the controller."""
    activation: Activation = "relu"
    """What the units of a feed-forward controller of a memory do with their sums; others have their own."""
    addressing: str = "ntm"
    """How memory is addressed: one of the schemes, or none for a network without memory (the baselines)."""
    slots: AtLeastOne = 128
    """Memory locations (N)."""
    word_size: AtLeastOne = 20
    """Numbers in a location (W)."""
    clip_emitted: Positive | None = 20.0
    """Largest magnitude of what the controller emits and of the outputs (none: any)."""
    scheme: Options = field(default_factory=lambda: NTM(start="tape"))
    """Options of the scheme of addressing."""
    learning_rate: Positive = 1e-3
    """Learning rate after the warm-up."""
    clip_to_median: Positive | None = 10.0
    """Largest norm as a multiple of the median norm of the last 100 steps, at the full learning rate; at a lower one as
    much larger (none: any multiple)."""
    batch: AtLeastOne = 32
    """Sequences in a training step."""
    episodes: AtLeastOne = 320_000
    """Sequences to train on; rounded up to whole steps."""


AnyConfig = Config | TaskConfig
"""The settings of a run."""

WITHOUT_MEMORY = ("none", "prototypes", "nearest", "maml")
"""What can stand in place of a scheme of addressing: networks without a memory that is addressed."""

_CLASSIFICATION: TypeAdapter[Config] = TypeAdapter(Config)
_TASK: TypeAdapter[TaskConfig] = TypeAdapter(TaskConfig)
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "task": tuple(TASKS),
        "dataset": tuple(DATASETS),
        "labels": tuple(LABELS),
        "encoder": tuple(ENCODERS),
        "controller": tuple(CONTROLLERS),
        "addressing": (*SCHEMES, *WITHOUT_MEMORY),
    }
)

Kind = TypeVar("Kind", bound=Settings)


def checked(config: Kind) -> Kind:
    """Return `config` if every value is of its type and in its range.

    Raises:
        InputError: names the first value that is not, what was found and what is expected.
    """
    return cast("Kind", config_from_json(config_json(config), "the settings"))


def read_config(path: Path) -> AnyConfig:
    """Read the `config.json` of a run.

    Raises:
        InputError: there is none, or it is not what `write_config` wrote.
    """
    try:
        return config_from_json(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): is {path.parent} the folder of a run?") from error


def config_json(config: Settings) -> str:
    """Return the text of `config.json`."""
    return json.dumps(asdict(config), indent=2, default=str) + "\n"


_CHANGEABLE = ("root", "on_nonfinite")
"""What may change while a run goes on: where the data lie, and what is done about a step that is not finite."""


def differing(one: Settings, other: Settings) -> list[str]:
    """Return which settings differ and how, but for those that may change while a run goes on."""
    if what_is_learned(one) != what_is_learned(other):
        return [f"task is {what_is_learned(one)}, not {what_is_learned(other)}"]
    others = dict(settings_by_name(other))
    return [
        f"{name} is {value}, not {others[name]}"
        for name, value in settings_by_name(one)
        # Options of different schemes cannot be compared; that the schemes differ is said already.
        if name not in _CHANGEABLE and name in others and value != others[name]
    ]


def settings_by_name(options: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of every option, those of the scheme as "scheme.read_heads"."""
    for entry in fields(options):
        value = getattr(options, entry.name)
        if is_dataclass(value):
            yield from settings_by_name(value, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, value


def what_is_learned(config: Settings) -> str:
    """Return the name of the task or the data set, as the command line has it."""
    return config.task if isinstance(config, TaskConfig) else cast("Config", config).dataset


def config_from_json(text: str | bytes, source: str) -> AnyConfig:
    """Read what `config_json` returned; `source` says in errors where it was.

    Raises:
        InputError: names the first value that is wrong, what was found and what is expected.
    """
    try:
        content = parse_json(text)
        kind = _TASK if isinstance(content, dict) and "task" in content else _CLASSIFICATION
        config = kind.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise InputError(f"{source}: {where}: {first['msg']}, found {str(first.get('input'))[:60]}") from error
    except ValueError as error:
        raise InputError(f"{source}: content: Invalid JSON: {error}") from error
    for name, choices in _CHOICES.items():
        value = getattr(config, name, choices[0])
        if value not in choices:
            raise InputError(f"{source}: no {name} is named {value!r}: use one of {', '.join(choices)}")
    if config.addressing == "prototypes" and getattr(config, "labels", None) != "one-hot":
        raise InputError(f"{source}: addressing: prototypes are of classes of images with one-hot labels")
    if isinstance(config, Config) and config.memory == "persistent" and config.addressing in WITHOUT_MEMORY:
        raise InputError(f"{source}: memory: there is none to be persistent with addressing {config.addressing}")
    if isinstance(config, Config) and config.most_classes is not None and config.most_classes < config.classes:
        raise InputError(
            f"{source}: most_classes: {config.most_classes}, expected at least the {config.classes} to begin with"
        )
    if config.addressing == "maml":
        for name, value in (("labels", "one-hot"), ("encoder", "conv"), ("counting", "exact")):
            if getattr(config, name, None) != value:
                raise InputError(f"{source}: addressing: maml is of classes of images, with {name} {value}")
        if cast("Config", config).presentations < 6:
            raise InputError(f"{source}: addressing: maml needs presentations of 6 or more: 5 shots and a query")
    if (config.addressing == "nearest") != (getattr(config, "encoder", None) == "autoencoder"):
        raise InputError(
            f"{source}: addressing: nearest goes with encoder autoencoder, of classes of images, and neither goes with "
            "anything else (nearest neighbours of raw pixels, which need no training: evaluate.py RUN --nearest)"
        )
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
"""Whole settings of classification by name, as changes to the defaults."""

_NTM_PAPER: Mapping[str, Any] = MappingProxyType(
    {"optimizer": "rmsprop", "schedule": "constant", "warm_up": 0, "clip_to_median": None, "episodes": 1_000_000}
)
"""What Graves et al. 2014 have in common for all tasks, as far as they say."""


def _paper_ntm(heads: int, units: int, learning_rate: float, layers: int = 1) -> Mapping[str, Any]:
    """Return a row of tables 1 and 2 of Graves et al. 2014, for either controller."""
    sizes = {"hidden_size": units, "layers": layers, "learning_rate": learning_rate}
    return {**_NTM_PAPER, **sizes, "scheme": NTM(read_heads=heads, write_heads=heads)}


def _paper_lstm(units: int, learning_rate: float) -> Mapping[str, Any]:
    """Return a row of their table 3, the LSTM without memory."""
    sizes = {"hidden_size": units, "layers": 3, "learning_rate": learning_rate}
    return {**_NTM_PAPER, **sizes, "addressing": "none", "scheme": None}


_FEEDFORWARD = {"controller": "feedforward"}
# The longest tests write 241 and 221 times: the tape must not come round to what is still to be read.
_TAPE = {"slots": 256}
_LSTM = {"addressing": "none", "scheme": None, "hidden_size": 256}

TASK_PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
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
                "addressing": "lrua",
                "scheme": LRUA(),
                "hidden_size": 200,
                "word_size": 40,
                "learning_rate": 3e-3,
                "episodes": 320_000,
            },
        },
        # What stands beside the default: as many sequences, trained alike, without a memory.
        "lstm": {
            "copy": {**_LSTM, "episodes": 320_000},
            "associative-recall": {**_LSTM, "episodes": 480_000},
            "repeat-copy": {**_LSTM, "episodes": 400_000},
            "ngrams": {**_LSTM, "batch": 8, "episodes": 48_000},
            "priority-sort": {**_LSTM, "episodes": 960_000},
            "regression": {**_LSTM, "episodes": 320_000},
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
)
"""Whole settings of the tasks by name and task, as changes to the defaults; docs/tasks.md says what the papers leave
open and where parameters are counted."""


def preset_changes(name: str, setting: str = "default") -> Mapping[str, Any]:
    """Return what a preset changes of the defaults of a data set or a task.

    Raises:
        InputError: there is no such preset for it.
    """
    if name in TASKS:
        # The default is there for every task, changed or not.
        known = {kind: of.get(name, {}) for kind, of in TASK_PRESETS.items() if kind == "default" or name in of}
    else:
        known = PRESETS
    if setting not in known:
        raise InputError(f"no preset for {name} is named {setting!r}: use one of {', '.join(known)}")
    return known[setting]


def preset(name: str, setting: str = "default", addressing: str | None = None) -> AnyConfig:
    """Return the settings of a preset for a data set or a task, with another way of addressing if one is named.

    Raises:
        InputError: there is no such task, preset or scheme.
    """
    if name not in (*TASKS, *DATASETS):
        raise InputError(f"no task is named {name!r}: use one of {', '.join((*DATASETS, *TASKS))}")
    config: AnyConfig = TaskConfig(task=name, sizes=TASKS[name]()) if name in TASKS else Config(name)
    return addressed(replace(config, **preset_changes(name, setting)), addressing)


def addressed(config: Kind, addressing: str | None) -> Kind:
    """Return the settings with memory addressed by another scheme, or none, with the scheme's own defaults.

    Raises:
        InputError: there is no such scheme.
    """
    if addressing in (None, config.addressing):
        return config
    if addressing in WITHOUT_MEMORY:
        alone = isinstance(config, Config) and addressing != "none"
        return replace(config, addressing=addressing, scheme=None, **({"encoder_rate": 1.0} if alone else {}))
    if addressing not in SCHEMES:
        raise InputError(f"no addressing is named {addressing!r}: use one of {', '.join((*SCHEMES, *WITHOUT_MEMORY))}")
    # By content alone, slots that start alike stay alike.
    memory = "learned" if addressing == "content" else config.initial_memory
    scheme = default_scheme(addressing, isinstance(config, Config))
    return replace(config, addressing=addressing, scheme=scheme, initial_memory=memory)
