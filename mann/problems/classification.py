"""Label-offset classification of images, as a problem to train."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from torch import Tensor

from data import ImageClasses, InputError, Split, read_split
from episodes import ClassificationEpisodes, Episode, Jitter
from mann.evaluation.held_out import TEST, VALIDATION, held_out_episodes
from mann.evaluation.instances import accuracy_by_instance
from mann.models.baselines.maml import MAML
from mann.models.building import build_classifier
from mann.models.classifier import Classifier, answer_loss, count_by_instance, is_right, label_offset_episodes
from mann.models.encoders import Autoencoder, ConvEncoder
from mann.models.network import MemoryNetwork, NetworkState
from mann.problems.compiling import compile_if_long
from mann.runs import Run, describe_environment
from mann.runs.loading import load_classifier
from mann.settings import Config, Nearest
from mann.support.trees import map_leaves
from mann.training import Counts, LoggingInterval, OnMetrics, fit


def training_episodes(config: Config, classes: ImageClasses, split: Split) -> ClassificationEpisodes:
    """Return the training episodes, of training classes alone.

    Raises:
        InputError: the training classes cannot fill an episode.
    """
    images = classes.select(split.train)
    jitter = Jitter(
        math.radians(config.jitter_rotation), config.jitter_translation, config.jitter_scale, config.jitter_shear
    )
    return label_offset_episodes(
        config,
        images.with_rotations() if config.rotations else images,
        config.batch,
        config.seed,
        jitter if jitter != Jitter(0.0, 0.0) else None,
    )


def classes_at(config: Config, step: int) -> int:
    """Return the number of classes in the episodes of a training step; in a curriculum it rises."""
    return min(config.most_labelled, config.classes + step * config.batch // config.class_every)


class Classification:
    """Label-offset classification; see `mann.training.Problem`.

    Attributes:
        carry: With persistent memory, the whole state after the last episodes, so that the episodes at one position of
            the batch are one long sequence. Gradients end at the start of an episode.

    Args:
        config: The settings.
        classes: All classes, on the device to train on.
        split: Training, validation and test classes. Test classes are only counted.

    Raises:
        InputError: the classes do not fill an episode, or the model has nothing to learn.
    """

    def __init__(self, config: Config, classes: ImageClasses, split: Split):
        if isinstance(config.model, Nearest) and config.encoder != "autoencoder":
            raise InputError(
                "`model=nearest` learns an autoencoder: add `encoder=autoencoder` (nearest neighbours of raw pixels "
                "need no training: evaluate any run with `nearest`)"
            )
        with _naming("train"):
            self._source = training_episodes(config, classes, split)
            self._of_classes = cache(lambda number: replace(self._source, classes=number))  # checked once each
            self._of_classes(config.most_labelled)  # refused now rather than in the middle of the training
        with _naming("validation"):
            self._validation = held_out_episodes(config, classes.select(split.validation), VALIDATION)
        with _naming("test"):  # refused now rather than after the training
            held_out_episodes(config, classes.select(split.test), TEST)
        rotated = " x 4 rotations" if config.rotations else ""
        trained, held_out = len(split.train), len(split.validation)
        self.description = f"{config.dataset}: {trained} training classes{rotated}, {held_out} validation classes"
        if config.most_labelled > config.classes:
            self.description += f"; {config.classes} classes in an episode at first, up to {config.most_labelled}"
        self.counts = config.presentations
        self._config = config
        self.model: Classifier = build_classifier(config).to(classes.images.device)
        if isinstance(self.model.encoder, ConvEncoder):
            self.model.encoder.settle(self._source(0).images.flatten(0, 1))
        compile_if_long(self.model.network, config)
        self.carry: NetworkState | None = None
        if config.memory == "persistent":
            assert isinstance(self.model.network, MemoryNetwork)
            state = self.model.network.initial_state(config.batch, next(self.model.network.parameters()))
            self.carry = map_leaves(Tensor.detach, state)

    def centre(self) -> None:
        """Centre and scale the features of an encoder from another run to those of a new encoder."""
        if isinstance(self.model.encoder, ConvEncoder):
            self.model.encoder.centre(self._source(0).images.flatten(0, 1))

    def episode(self, step: int) -> Episode:
        """Return the training episodes of a step."""
        return self._of_classes(classes_at(self._config, step))(step)

    def loss(self, episode: Episode) -> tuple[Tensor, Counts]:
        """Return the loss, and right answers and all answers by instance."""
        logits, after = self.model(episode.images, episode.previous, self.carry)
        if self.carry is not None:
            self.carry = map_leaves(Tensor.detach, after)
        right = count_by_instance(is_right(logits, episode), episode.presentation, self.counts)
        encoder = self.model.encoder
        if isinstance(encoder, Autoencoder):  # trained without labels
            return encoder.error(episode.images.flatten(0, 1)), Counts(*right)
        return answer_loss(logits, episode), Counts(*right)

    def summary(self, step: int, means: list[float | None]) -> dict[str, Any]:
        """Return the accuracy by instance, and in a curriculum the number of classes."""
        line: dict[str, Any] = {"accuracy": {str(k): mean for k, mean in enumerate(means, 1) if mean is not None}}
        return line if self._config.most_classes is None else {"classes": classes_at(self._config, step), **line}

    def validate(self) -> dict[str, Any]:
        """Return the accuracy by instance on validation classes."""
        return {"validation": accuracy_by_instance(self.model, self._validation)}


def take_encoder(model: Classifier | MAML, config: Config, split: Split, other: Run) -> None:
    """Copy the weights of another run's encoder into `model`.

    Raises:
        InputError: the other run has no such encoder, or was trained on classes that are not training classes here.
    """
    device = next(model.parameters()).device
    theirs, trained = load_classifier(other, device)
    for name in ("dataset", "size", "encoder", "encoder_width"):
        if getattr(theirs, name) != getattr(config, name):
            raise InputError(
                f"`encoder_from` {other.folder}: its {name} is {getattr(theirs, name)}, not {getattr(config, name)}"
            )
    foreign = sorted(set(read_split(str(other.split_path)).train) - set(split.train))
    if foreign:
        raise InputError(
            f"`encoder_from` {other.folder}: {len(foreign)} of its training classes, such as {foreign[0]!r}, are not "
            "training classes here: use a run with the same `split`"
        )
    model.encoder.load_state_dict(trained.encoder.state_dict())


@contextmanager
def _naming(part: str) -> Iterator[None]:
    """Name the part of the split at the start of an error that is raised within the block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{part} classes: {error}") from error


def train(
    config: Config,
    classes: ImageClasses,
    split: Split,
    run: Run,
    interval: LoggingInterval | None = None,
    report: OnMetrics | None = None,
    stopping: Callable[[], bool] | None = None,
) -> Classifier:
    """Train a classifier, in a new run or one that was started before.

    See `Classification` for the first three arguments and `fit` for the others.

    Raises:
        InputError: see `Classification` and `fit`.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from data import load
    >>> config = Config("strokes", presentations=2, episodes=16)
    >>> classes, split = load("strokes", root=None, size=config.size, split=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Run(Path(folder))
    ...     classifier = train(config, classes, split, run)
    ...     run.steps_done()
    1
    """
    problem = Classification(config, classes, split)
    if not run.exists():
        run.start(config, split, describe_environment(classes.images.device))
    fit(problem, config, run, interval, report, stopping)
    return problem.model
