"""Episodes of classes that were never trained on: the same for every model and every run on one kind of device."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from torch import Tensor

from data import ImageClasses, InputError
from episodes import ClassificationEpisodes, Episode
from mann.models.classifier import label_offset_episodes
from mann.settings import Config, Prototypes

OnProgress = Callable[[int], None]
"""Called with the number of episodes evaluated so far."""

Answering = Callable[..., tuple[Tensor, Any]]
"""A model called like a `Classifier`: with images, previous labels and a state that may be left out."""


class HeldOut(NamedTuple):
    """A fixed set of episodes.

    Attributes:
        seed: Its seed, far from the seeds people train with.
        episodes: Number of episodes.
    """

    seed: int
    episodes: int


VALIDATION: Final = HeldOut(seed=10**9, episodes=500)
TEST: Final = HeldOut(seed=2 * 10**9, episodes=2000)
HELD_OUT: Final = {"test": TEST, "validation": VALIDATION}
BATCH: Final = 50
"""Sequences in a batch. It belongs to the definition of the episodes, since each batch is drawn with one generator."""


class Source(Protocol):
    """A source of episodes: `ClassificationEpisodes`, `TasksetEpisodes`."""

    @property
    def time(self) -> int:
        """Steps in a sequence."""
        ...

    @property
    def presentations(self) -> int:
        """Presentations of each class in a sequence."""
        ...

    @property
    def counting(self) -> str:
        """Whether `presentations` is "exact", or a mean ("random")."""
        ...

    @property
    def batch(self) -> int:
        """Sequences in an episode."""
        ...

    def __call__(self, step: int) -> Episode:
        """Return the episodes of one step."""
        ...


SomeSource = TypeVar("SomeSource", bound=Source, covariant=True)


class FixedEpisodes(NamedTuple, Generic[SomeSource]):
    """The first `episodes` sequences of a source.

    Attributes:
        source: The source.
        episodes: Number of sequences.
        persistent: Whether the sequences at one position of the batch follow each other without a wipe of the memory.
    """

    source: SomeSource
    episodes: int
    persistent: bool = False


def held_out_episodes(config: Config, images: ImageClasses, held_out: HeldOut) -> FixedEpisodes[ClassificationEpisodes]:
    """Return episodes of held-out classes: as in training, without added rotations and jitter.

    Args:
        config: Settings of the episodes.
        images: The held-out classes.
        held_out: Seed and number of the episodes.

    Raises:
        InputError: the classes cannot fill an episode.
    """
    source = label_offset_episodes(config, images, BATCH, held_out.seed)
    return FixedEpisodes(source, held_out.episodes, config.memory == "persistent")


def with_classes(config: Config, classes: int) -> Config:
    """Return settings for whole episodes of another number of classes, with which the trained weights can be used.

    Raises:
        InputError: the labels of the training cannot tell so many classes apart.
    """
    if classes < 2:
        raise InputError(f"`classes` {classes}: at least 2 are needed")
    # The weights of prototypes do not depend on the labels: there may be more than in training.
    if classes > config.most_labelled and config.labels == "one-hot" and not isinstance(config.model, Prototypes):
        raise InputError(
            f"`classes` {classes}: the one-hot labels of a training with {config.most_labelled} classes tell no more "
            f"apart; use at most {config.most_labelled}, or a run trained with `labels=strings`"
        )
    return replace(config, classes=classes, most_classes=max(classes, config.most_labelled), length=None)


def identity(fixed: FixedEpisodes[ClassificationEpisodes]) -> str:
    """Return a text that only evaluations on the very same episodes have in common."""
    source = fixed.source
    images = source.images
    # The arguments of the source, which is a pure function; random numbers differ between kinds of devices.
    settings = [str(getattr(source, entry.name)) for entry in fields(source) if entry.name != "images"]
    classes = [images.names, images.counts.tolist(), images.images.device.type]
    return hashlib.sha256(json.dumps([fixed.episodes, settings, classes]).encode()).hexdigest()[:16]
