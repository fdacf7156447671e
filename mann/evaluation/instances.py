"""Accuracy by instance on classes that were never trained on."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy
import torch
from torch import Tensor

from data import ImageClasses, InputError, Split
from episodes import ClassificationEpisodes, Episode
from mann.evaluation.intervals import by_instance
from mann.models.classifier import Classifier, build_classifier, count_by_instance, episode_labels, is_right
from mann.models.network import Access, MemoryNetwork, on_the_cpu
from mann.runs.run import Run
from mann.settings.schema import Config


class HeldOut(NamedTuple):
    """A fixed set of episodes: the same for every model and every run on one kind of device.

    Attributes:
        seed: Its seed, far from the seeds people train with.
        episodes: How many.
    """

    seed: int
    episodes: int


VALIDATION = HeldOut(seed=10**9, episodes=500)
TEST = HeldOut(seed=2 * 10**9, episodes=2000)
HELD_OUT = {"test": TEST, "validation": VALIDATION}
BATCH = 50
"""Sequences at a time; a part of what the episodes are, since each batch is drawn in one go."""


Report = Callable[[int], None]
"""Called with the number of episodes evaluated so far."""

Answering = Callable[..., tuple[Tensor, Any]]
"""Called like a `Classifier`: with images, the labels before and a state that may be left out."""


class Source(Protocol):
    """Where episodes come from: `ClassificationEpisodes`, `TasksetEpisodes`."""

    @property
    def time(self) -> int:
        """Steps in a sequence."""
        ...

    @property
    def presentations(self) -> int:
        """Drawings of each class in a sequence."""
        ...

    @property
    def counting(self) -> str:
        """Whether that is so exactly, or on average."""
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
        persistent: Whether the sequences at a place in the batch follow each other without their memory being wiped.
    """

    source: SomeSource
    episodes: int
    persistent: bool = False


def held_out_episodes(config: Config, images: ImageClasses, held_out: HeldOut) -> FixedEpisodes[ClassificationEpisodes]:
    """Return episodes of held-out classes: as in training, but with no added rotations or jitter.

    Raises:
        InputError: the classes cannot fill an episode.
    """
    source = ClassificationEpisodes(
        images,
        episode_labels(config),
        classes=config.classes,
        presentations=config.presentations,
        counting=config.counting,
        alphabets=config.alphabets,
        length=config.length,
        batch=BATCH,
        seed=held_out.seed,
    )
    return FixedEpisodes(source, held_out.episodes, config.memory == "persistent")


def identity(fixed: FixedEpisodes[ClassificationEpisodes]) -> str:
    """Return a text that only evaluations on the very same episodes have in common."""
    source = fixed.source
    drawn_from = source.images
    # What the source is a pure function of; the numbers of a generator differ between kinds of devices.
    settings = [str(getattr(source, entry.name)) for entry in fields(source) if entry.name != "images"]
    classes = [drawn_from.names, drawn_from.counts.tolist(), drawn_from.images.device.type]
    return hashlib.sha256(json.dumps([fixed.episodes, settings, classes]).encode()).hexdigest()[:16]


@torch.no_grad()
def answer_counts(
    model: Answering, fixed: FixedEpisodes[Source], report: Report | None = None
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Count right answers and all answers by episode and instance, int64 [episodes, instances] each.

    Memory is blank at the start of each episode, or else never: what comes before the first counted ones is the batch
    after the last. Weights do not change.
    """
    # With random counting a class can be shown more often than on average, at most in every step.
    source = fixed.source
    instances = source.presentations if source.counting == "exact" else source.time
    steps = -(-fixed.episodes // source.batch)
    right, shown, state = [], [], None
    if fixed.persistent:
        before = source(steps)
        _, state = model(before.images, before.previous)
    for step in range(steps):
        episode = source(step)
        logits, after = model(episode.images, episode.previous, state)
        if fixed.persistent:
            state = after
        counted = count_by_instance(is_right(logits, episode), episode.presentation, instances)
        right.append(counted[0].cpu())
        shown.append(counted[1].cpu())
        if report is not None:
            report(min((step + 1) * source.batch, fixed.episodes))
    kept = slice(fixed.episodes)
    return torch.cat(right)[kept].numpy(), torch.cat(shown)[kept].numpy()


def accuracy_by_instance(model: Classifier, fixed: FixedEpisodes) -> dict[str, float]:
    """Return the accuracy at each instance that was shown, for a line of metrics."""
    right, shown = (counts.sum(0) for counts in answer_counts(model, fixed))
    return {str(k + 1): float(right[k] / shown[k]) for k in range(len(shown)) if shown[k]}


def classification_settings(run: Run) -> Config:
    """Return the settings of a run, which has to be a classification."""
    config = run.config()
    if not isinstance(config, Config):
        raise InputError(f"{run.folder} holds a run of another kind: its network is no classifier")
    return config


def load_classifier(run: Run, device: torch.device, config: Config | None = None) -> Classifier:
    """Return the classifier of a run's last checkpoint.

    config: Settings to build it from, whose weights are as many; None: the run's own.

    Raises:
        InputError: there is no checkpoint, or it is damaged.
    """
    model = build_classifier(config or classification_settings(run))
    run.load(model)
    return model.to(device)


def with_classes(config: Config, classes: int) -> Config:
    """Return the settings of a training, for a network with its weights and whole episodes of so many classes.

    Raises:
        InputError: the labels of the training cannot tell so many apart.
    """
    if classes < 2:
        raise InputError(f"--classes {classes}: at least 2 are needed")
    # The weights of prototypes know of no labels: there may be more than in training.
    if classes > config.labelled and config.labels == "one-hot" and config.addressing != "prototypes":
        raise InputError(
            f"--classes {classes}: with the one-hot labels of a training with {config.labelled} classes no more can be "
            f"told apart; use at most {config.labelled}, or a run trained with --labels strings"
        )
    return replace(config, classes=classes, most_classes=config.labelled, length=None)


def evaluate(
    run: Run,
    classes: ImageClasses,
    split: Split,
    part: str = "test",
    episodes: int = TEST.episodes,
    report: Report | None = None,
    model: Answering | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    """Measure the accuracy by instance of a run's last checkpoint; returns the content of `evaluation.json`.

    Args:
        run: The run.
        classes: All classes, on the device to work on.
        split: The parts of the classes.
        part: "test", or "validation" while one is still choosing.
        episodes: How many, at least 1.
        report: Called now and then.
        model: Measured in place of the run's classifier, on the same episodes.
        config: Settings of the episodes, such as from `with_classes`; None: the run's own.

    Raises:
        InputError: no checkpoint, or too few classes or episodes.
    """
    if episodes < 1:
        raise InputError(f"--episodes {episodes}: at least 1 is needed")
    config = config or classification_settings(run)
    held_out = HELD_OUT[part]._replace(episodes=episodes)
    fixed = held_out_episodes(config, classes.select(getattr(split, part)), held_out)
    model = model or load_classifier(run, classes.images.device, config)
    right, shown = answer_counts(model, fixed, report)
    instances = by_instance(right, shown)
    return {
        "task": "classification",
        "dataset": config.dataset,
        "split": part,
        "episodes": episodes,
        "classes": config.classes,
        "alphabets": config.alphabets,
        "memory": config.memory,
        "labels": config.labels,
        "instances": [instance._asdict() for instance in instances],
        "counts": {"of": identity(fixed), "right": in_columns(right), "shown": in_columns(shown)},
    }


def in_columns(counts: numpy.ndarray) -> list[str]:
    """Return counts [episodes, columns] as a text for each column, its numbers in the order of the episodes."""
    return [" ".join(map(str, column)) for column in counts.T.tolist()]


def from_columns(columns: list[str]) -> numpy.ndarray:
    """Return what `in_columns` made texts of."""
    return numpy.array([[int(number) for number in column.split()] for column in columns]).T


class Seen(NamedTuple):
    """A sequence, what a classifier answered, and what it did with its memory.

    Attributes:
        episode: A batch of one.
        logits: [time, 1, characters, symbols].
        access: What happened to the memory; None where there is none.
    """

    episode: Episode
    logits: Tensor
    access: Access | None


@torch.no_grad()
def first_sequence(run: Run, classes: ImageClasses, split: Split, part: str = "test") -> Seen:
    """Let a run's last checkpoint answer the first sequence of its evaluation; see `evaluate`. Returned on the CPU."""
    config = classification_settings(run)
    fixed = held_out_episodes(config, classes.select(getattr(split, part)), HELD_OUT[part])
    model = load_classifier(run, classes.images.device)
    episode = Episode(*(values[:, :1] for values in fixed.source(0)))
    if isinstance(model.network, MemoryNetwork):
        logits, _, access = model.trace(episode.images, episode.previous)
    else:
        (logits, _), access = model(episode.images, episode.previous), None
    return on_the_cpu(Seen(episode, logits, access))
