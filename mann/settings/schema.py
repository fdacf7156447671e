"""The settings of a run, as typed data that checks itself when it is made.

    Settings               the optimisation, and the model that is trained
      Config               label-offset classification of images (few-shot, for MAML)
      TaskConfig           one of the algorithmic tasks
    Model                  Memory | Recurrent | Transformer | DeltaLayers | Prototypes | Nearest | Maml, told apart by
                           `kind`; `mann.models.building` makes the network from it
    Memory.scheme          one of `mann.addressing.SCHEMES`, told apart by `name`
    TaskConfig.sizes       one of `episodes.TASKS`, told apart by `name`

The defaults are the settings that learned best on the validation classes (docs/log.md).
"""

import json
import math
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, Strict, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator

from data import InputError
from data.checking import AtLeastOne, Checked, Positive
from episodes import TASKS, Task
from mann.addressing import LRUA, NTM, SCHEMES, Scheme

if TYPE_CHECKING:
    AnyScheme = Scheme
    AnyTask = Task
else:
    # Built from the lists, so that a scheme or a task is added in one place.
    _BUILT_IN: Final = tuple(SCHEMES.values())

    def _registered(value: Any, handler: ValidatorFunctionWrapHandler) -> Scheme:
        """Check a scheme that was registered after this; all others are left to the union of the built-in ones."""
        name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
        kind = SCHEMES.get(name) if isinstance(name, str) else None
        if kind is None or kind in _BUILT_IN:
            return handler(value)
        # Schemes are checked when they are made; those of a file are read as strictly as the others.
        return value if isinstance(value, kind) else TypeAdapter(kind).validate_json(json.dumps(value))

    AnyScheme = Annotated[Union[_BUILT_IN], Field(discriminator="name"), WrapValidator(_registered)]  # noqa: UP007
    AnyTask = Annotated[Union[tuple(TASKS.values())], Field(discriminator="name")]  # noqa: UP007

ControllerName = Literal["lstm", "gru", "feedforward"]
Activation = Literal["relu", "tanh"]
InitialMemory = Literal["constant", "random", "learned"]
InitialHeads = Literal["plain", "learned"]

_Path = Annotated[Path, Strict(False)]  # strings are accepted too


@dataclass(frozen=True, kw_only=True)
class Memory(Checked):
    """A controller with an external memory.

    `build_network` in `mann.models.building` passes these fields to `mann.MemoryNetwork`: `slots` and `word_size`
    become the shape of its memory, [batch, slots, word_size].

    >>> from mann.addressing import DNC
    >>> Memory(slots=128, scheme=DNC(read_heads=4)).scheme.name
    'dnc'
    """

    kind: Literal["memory"] = field(default="memory", repr=False)
    """The model's name in settings and on the command line."""
    controller: ControllerName = "lstm"
    """Controller of the memory, or the whole of a recurrent model: lstm, gru or feedforward."""
    layers: AtLeastOne = 1
    """Layers of the controller."""
    hidden_size: AtLeastOne = 200
    """Units in a layer of the controller."""
    initial_biases: Annotated[float, Ge(0)] = 0.0
    """Largest magnitude of the initial biases of a feed-forward controller; LSTM and GRU have initial biases of their
    own."""
    activation: Activation = "tanh"
    """Activation function of a feed-forward controller."""
    slots: AtLeastOne = 64
    """Memory locations (N; the paper: 128)."""
    word_size: AtLeastOne = 40
    """Numbers in a location (W)."""
    initial_memory: InitialMemory = "constant"
    """Initial content of the memory: a small constant, random numbers drawn once, or learned numbers."""
    initial_heads: InitialHeads = "plain"
    """Initial read vectors and weightings: zeros and those of the scheme, or learned."""
    read_first: bool = False
    """Read before the write of the same step, instead of after it."""
    clip_emitted: Positive | None = None
    """Largest magnitude of the interface vector and of the outputs (none: no limit)."""
    scheme: AnyScheme = field(default_factory=lambda: default_scheme("lrua", images=True))
    """Addressing scheme with its options."""


@dataclass(frozen=True, kw_only=True)
class Recurrent(Checked):
    """A recurrent or feed-forward network without an external memory (a baseline)."""

    kind: Literal["recurrent"] = field(default="recurrent", repr=False)
    """The model's name in settings and on the command line."""
    controller: ControllerName = "lstm"
    """The kind of network: lstm, gru or feedforward."""
    layers: AtLeastOne = 1
    """Layers."""
    hidden_size: AtLeastOne = 200
    """Units in a layer."""


@dataclass(frozen=True, kw_only=True)
class Layered(Checked):
    """Residual blocks without an external memory or a controller."""

    blocks: AtLeastOne = 2
    """Residual blocks of a transformer or of delta-layers."""
    width: AtLeastOne = 128
    """Numbers at each step of a block."""
    heads: AtLeastOne = 4
    """Heads of a block, which share out its width."""

    def check(self) -> None:
        """Check that the heads share out the width."""
        if self.width % self.heads:
            raise InputError(f"`width` {self.width} is not a multiple of the {self.heads} of `heads`")


@dataclass(frozen=True, kw_only=True)
class Transformer(Layered):
    """A causal Transformer on the same inputs (a baseline).

    >>> Transformer(width=100, heads=3)
    Traceback (most recent call last):
    ...
    data.errors.InputError: `width` 100 is not a multiple of the 3 of `heads`
    """

    kind: Literal["transformer"] = field(default="transformer", repr=False)
    """The model's name in settings and on the command line."""

    def check(self) -> None:
        """Check that the heads have even sizes: their numbers are rotated in pairs."""
        super().check()
        if self.width // self.heads % 2:
            raise InputError(f"`width` {self.width} gives each of {self.heads} heads an odd size: use even sizes")


@dataclass(frozen=True, kw_only=True)
class DeltaLayers(Layered):
    """A stack of delta-rule layers without a controller (a baseline)."""

    kind: Literal["delta-layers"] = field(default="delta-layers", repr=False)
    """The model's name in settings and on the command line."""


@dataclass(frozen=True, kw_only=True)
class Prototypes(Checked):
    """A prototypical network behind the encoder (Snell et al. 2017); one-hot labels."""

    kind: Literal["prototypes"] = field(default="prototypes", repr=False)
    """The model's name in settings and on the command line."""


@dataclass(frozen=True, kw_only=True)
class Nearest(Checked):
    """Nearest neighbours of an autoencoder's features, or of raw pixels, for which nothing is trained."""

    kind: Literal["nearest"] = field(default="nearest", repr=False)
    """The model's name in settings and on the command line."""


@dataclass(frozen=True, kw_only=True)
class Maml(Checked):
    """Model-agnostic meta-learning of the convolutional encoder (Finn et al. 2017), for N-way K-shot alone."""

    kind: Literal["maml"] = field(default="maml", repr=False)
    """The model's name in settings and on the command line."""


AnySequenceModel = Memory | Recurrent | Transformer | DeltaLayers
AnyModel = AnySequenceModel | Prototypes | Nearest | Maml
SequenceModel = Annotated[AnySequenceModel, Field(discriminator="kind")]
"""Models of any sequence."""
Model = Annotated[AnyModel, Field(discriminator="kind")]
"""Models of image episodes."""


def default_scheme(name: str, images: bool) -> Scheme:
    """Return a scheme with the options that learn images or the algorithmic tasks best.

    Args:
        name: One of `SCHEMES`.
        images: For classes of images; otherwise for the algorithmic tasks. Most schemes have one set of defaults.
    """
    if name == "lrua":
        return LRUA(read_heads=2, key_strength=8.0, write_vector="add", least_used="own", zeroed="all", start="paired")
    if name == "ntm" and images:
        return NTM(read_heads=2, start="recognise")
    return SCHEMES[name]()


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """Settings that runs of all kinds share: the model and its optimisation."""

    model: Any
    """The model that is trained: one of `Model`."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Adam, or RMSProp with decay 0.95 and momentum 0.9 (the paper)."""
    learning_rate: Positive = 3e-3
    """Learning rate after the warm-up."""
    epsilon: Positive = 1e-8
    """Added to the root mean square of a gradient by Adam and RMSProp: a larger one damps small gradients."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: down to 0 along a half cosine, or constant."""
    warm_up: Annotated[int, Ge(0)] = 200
    """Steps over which the learning rate rises from 0."""
    clip: Positive = 10.0
    """Largest norm of the gradient; a larger one is scaled down."""
    clip_to_median: Positive | None = None
    """Largest norm of the gradient as a multiple of the median norm of the last 100 steps. The multiple is divided by
    the current share of the learning rate: the limit rises as the rate falls (none: no such limit)."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """A step whose loss or gradient is not finite stops the training before the update, or is skipped and counted."""
    batch: AtLeastOne = 16
    """Episodes in a training step."""
    episodes: AtLeastOne = 300_000
    """Episodes to train on; rounded up to whole steps."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Precision of the matrix products of a training step. tf32: on GPUs that have it; bfloat16: also on CPUs that have
    it, in encoders and in products over all steps. Memories, weights and evaluations are float32 in any case."""
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    """Seed of the weights and the episodes."""

    @property
    def steps(self) -> int:
        """Training steps."""
        return math.ceil(self.episodes / self.batch)

    @property
    @abstractmethod
    def task_name(self) -> str:
        """The data set or the algorithmic task, as the command line names it."""


@dataclass(frozen=True)
class Config(Settings):
    """Settings of a classification run.

    >>> config = Config("strokes", classes=10, model=Memory(slots=128))
    >>> config.steps
    18750
    >>> Config("strokes", model=Prototypes(), labels="strings")
    Traceback (most recent call last):
    ...
    data.errors.InputError: `model=prototypes` needs `labels=one-hot`, not `labels=strings`
    """

    dataset: Literal["omniglot", "strokes", "folder"]
    """Data set: omniglot, strokes or folder."""

    model: Model = field(default_factory=Memory, kw_only=True)
    """The model that is trained: memory; or, to compare with, recurrent (a network without memory), transformer (a
    causal Transformer), delta-layers (a stack of delta-rule layers without a controller), prototypes (prototypical
    networks, one-hot labels), nearest (nearest neighbours of an autoencoder's features) or maml (MAML of the
    convolutional encoder, one-hot labels, for N-way K-shot alone)."""

    root: _Path | None = None
    """Folder with the data. omniglot: the two archives or extracted folders (none: download). folder: your classes."""
    split: str | None = None
    """Split into training, validation and test classes: a name or a .json file (none: the data set's own)."""
    size: Annotated[int, Ge(8), Le(105)] = 20
    """Side of the images in pixels (the paper: 20)."""
    rotations: bool = True
    """Add every training class rotated by 90, 180 and 270 degrees as new classes."""

    classes: Annotated[int, Ge(2)] = 5
    """Classes in an episode; in a curriculum, at first."""
    most_classes: Annotated[int, Ge(2)] | None = None
    """Curriculum: one class more every class_every episodes, up to this number (none: no curriculum)."""
    class_every: AtLeastOne = 10_000
    """Episodes after which a curriculum adds a class (the paper: 10,000)."""
    labels: Literal["one-hot", "strings"] = "one-hot"
    """Labels of the classes in an episode: one-hot, or strings of five characters of {a..e}."""
    presentations: AtLeastOne = 10
    """Presentations of each class in an episode."""
    counting: Literal["exact", "random"] = "exact"
    """Present every class equally often, or draw classes * presentations images at random."""
    alphabets: Literal["all", "one"] = "all"
    """Draw the classes of an episode from all alphabets, or from one (omniglot)."""
    length: AtLeastOne | None = None
    """Steps after which an episode ends (none: after all of its presentations)."""
    memory: Literal["wiped", "persistent"] = "wiped"
    """Wipe the memory between episodes, or keep it."""
    jitter_rotation: Annotated[float, Ge(0), Le(180)] = 6.0
    """Largest random rotation of an image, in degrees (the paper: 11.25)."""
    jitter_translation: Annotated[float, Ge(0), Le(0.5)] = 0.03
    """Largest random translation of an image, as a fraction of its side (the paper: 0.095)."""
    jitter_scale: Annotated[float, Ge(0), Le(0.5)] = 0.0
    """Largest random change of the width and of the height of an image, as a fraction (the paper: 0)."""
    jitter_shear: Annotated[float, Ge(0), Le(0.5)] = 0.0
    """Largest random slant of an image, as a fraction of its height (the paper: 0)."""

    encoder: Literal["none", "conv", "autoencoder"] = "none"
    """Encoder of the images. none: raw pixels; conv: a convolutional network, trained with the model; autoencoder: 32
    features, for the model nearest."""
    encoder_width: AtLeastOne = 64
    """Channels of each of the four blocks of conv."""
    encoder_rate: Annotated[float, Gt(0)] = 0.1
    """Learning rate of the encoder as a multiple of the memory's: at the full rate it would lose its features before
    the memory makes use of them (1 where nothing else learns: prototypes, nearest, maml)."""
    encoder_from: _Path | None = None
    """Folder of a run whose trained encoder to start from, such as a prototypical network's (none: new weights)."""
    image_scale: Positive = 2.0
    """Factor on pixels or features at the network's input (the paper: 1)."""
    label_scale: Positive = 4.0
    """Factor on the label at the network's input (the paper: 1)."""

    @property
    def task_name(self) -> str:
        """The data set."""
        return self.dataset

    @property
    def most_labelled(self) -> int:
        """Classes that the labels have to tell apart: the largest number in an episode."""
        return max(self.classes, self.most_classes or 0)

    def check(self) -> None:
        """Check that the settings fit together."""
        if self.memory == "persistent" and not isinstance(self.model, Memory):
            raise InputError(f"`memory=persistent` needs `model=memory`, not `model={self.model.kind}`")
        if self.most_classes is not None and self.most_classes < self.classes:
            raise InputError(f"`most_classes` is {self.most_classes}: use at least the {self.classes} of `classes`")
        if isinstance(self.model, Prototypes):
            self._require(labels="one-hot")
        if isinstance(self.model, Maml):
            self._require(labels="one-hot", encoder="conv", counting="exact")
            if self.presentations < 6:
                raise InputError("`model=maml` needs `presentations` of 6 or more: 5 shots and a query")
        if isinstance(self.model, Nearest) and self.encoder == "conv":
            raise InputError("`model=nearest` needs `encoder=autoencoder`, not `encoder=conv`")
        if self.encoder == "autoencoder" and not isinstance(self.model, Nearest):
            raise InputError(f"`encoder=autoencoder` is for `model=nearest`, not for `model={self.model.kind}`")

    def _require(self, **values: str) -> None:
        """Check the settings that the model needs.

        Raises:
            InputError: names the first that has another value.
        """
        for name, value in values.items():
            if (found := getattr(self, name)) != value:
                raise InputError(f"`model={self.model.kind}` needs `{name}={value}`, not `{name}={found}`")


def _task_memory() -> Memory:
    """Return the memory network that learns the algorithmic tasks."""
    return Memory(
        hidden_size=100, activation="relu", slots=128, word_size=20, clip_emitted=20.0, scheme=NTM(start="tape")
    )


@dataclass(frozen=True, kw_only=True)
class TaskConfig(Settings):
    """Settings of a run of one of the algorithmic tasks.

    >>> from episodes import Copy
    >>> TaskConfig(sizes=Copy(longest=10)).task
    'copy'
    """

    sizes: AnyTask
    """The task, with the sizes of its episodes."""
    model: SequenceModel = field(default_factory=_task_memory)
    """The model that is trained: memory; or, to compare with, recurrent (a network without memory), transformer (a
    causal Transformer) or delta-layers (a stack of delta-rule layers without a controller)."""
    learning_rate: Positive = 1e-3
    """Learning rate after the warm-up."""
    clip_to_median: Positive | None = 10.0
    """Largest norm of the gradient as a multiple of the median norm of the last 100 steps. The multiple is divided by
    the current share of the learning rate: the limit rises as the rate falls (none: no such limit)."""
    batch: AtLeastOne = 32
    """Sequences in a training step."""
    episodes: AtLeastOne = 320_000
    """Sequences to train on; rounded up to whole steps."""

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.sizes.name

    @property
    def task_name(self) -> str:
        """The name of the task."""
        return self.sizes.name


AnyConfig = Config | TaskConfig
"""The settings of a run."""
