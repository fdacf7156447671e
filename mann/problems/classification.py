"""Label-offset classification of images, as it is trained."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from data import ImageClasses, InputError, Split, read_split
from episodes import ClassificationEpisodes, Episode, Jitter
from mann.evaluation.instances import (
    TEST,
    VALIDATION,
    accuracy_by_instance,
    classification_settings,
    held_out_episodes,
    load_classifier,
)
from mann.models.baselines.maml import Maml
from mann.models.building import run_fast
from mann.models.classifier import (
    Classifier,
    answer_loss,
    build_classifier,
    count_by_instance,
    episode_labels,
    is_right,
)
from mann.models.encoders import Autoencoder, ConvEncoder
from mann.models.network import MemoryNetwork
from mann.runs.run import Run
from mann.settings.schema import Config
from mann.training.loop import Counts, Pace, Report, fit


def training_episodes(config: Config, classes: ImageClasses, split: Split) -> ClassificationEpisodes:
    """Return the training episodes, of training classes alone.

    Raises:
        InputError: the training classes cannot fill an episode.
    """
    images = classes.select(split.train)
    jitter = Jitter(math.radians(config.jitter_rotation), config.jitter_translation)
    return ClassificationEpisodes(
        images.with_rotations() if config.rotations else images,
        episode_labels(config),
        classes=config.classes,
        presentations=config.presentations,
        counting=config.counting,
        alphabets=config.alphabets,
        length=config.length,
        batch=config.batch,
        seed=config.seed,
        jitter=jitter if jitter != Jitter(0.0, 0.0) else None,
    )


def classes_at(config: Config, step: int) -> int:
    """Return how many classes the episodes of a training step have: in a curriculum, more and more of them."""
    return min(config.labelled, config.classes + step * config.batch // config.class_every)


class Classification:
    """Label-offset classification as `fit` asks for it.

    Attributes:
        carried: Of a training with persistent memory, the state that each sequence of a batch goes on from: all of it,
            so that the episodes of a place in the batch are one long sequence. Gradients end where an episode begins.

    Args:
        config: The settings.
        classes: All classes, on the device to train on.
        split: Which of them are for training, validation and test. Test classes are only counted.

    Raises:
        InputError: the classes do not fill an episode.
    """

    def __init__(self, config: Config, classes: ImageClasses, split: Split):
        with _naming("train"):
            self._source = training_episodes(config, classes, split)
            self._of_classes = cache(lambda number: replace(self._source, classes=number))  # each is checked once
            self._of_classes(config.labelled)  # refused now rather than when it gets there
        with _naming("validation"):
            self._validation = held_out_episodes(config, classes.select(split.validation), VALIDATION)
        with _naming("test"):  # refused now rather than after the training
            held_out_episodes(config, classes.select(split.test), TEST)
        rotated = " x 4 rotations" if config.rotations else ""
        trained, held_out = len(split.train), len(split.validation)
        self.description = f"{config.dataset}: {trained} training classes{rotated}, {held_out} validation classes"
        if config.labelled > config.classes:
            self.description += f"; {config.classes} classes in an episode at first, up to {config.labelled}"
        self.counts = config.presentations
        self._config = config
        self.model: Classifier = build_classifier(config).to(classes.images.device)
        if isinstance(self.model.encoder, ConvEncoder):
            self.model.encoder.settle(self._source(0).images.flatten(0, 1))
        run_fast(self.model.network, config)
        self.carried: Any = None
        if config.memory == "persistent":
            assert isinstance(self.model.network, MemoryNetwork)
            state = self.model.network.initial_state(config.batch, next(self.model.network.parameters()))
            self.carried = pytree.tree_map(Tensor.detach, state)

    def centre(self) -> None:
        """Let the features of an encoder that was trained elsewhere lie as those of a new one do."""
        if isinstance(self.model.encoder, ConvEncoder):
            self.model.encoder.centre(self._source(0).images.flatten(0, 1))

    def episode(self, step: int) -> Episode:
        """Return the training episodes of a step."""
        return self._of_classes(classes_at(self._config, step))(step)

    def loss(self, episode: Episode) -> tuple[Tensor, Counts]:
        """Return the loss, and right answers and all answers by instance."""
        logits, after = self.model(episode.images, episode.previous, self.carried)
        if self.carried is not None:
            self.carried = pytree.tree_map(Tensor.detach, after)
        right = count_by_instance(is_right(logits, episode), episode.presentation, self.counts)
        encoder = self.model.encoder
        if isinstance(encoder, Autoencoder):  # which knows of no labels
            return encoder.error(episode.images.flatten(0, 1)), Counts(*right)
        return answer_loss(logits, episode), Counts(*right)

    def summary(self, step: int, means: list[float | None]) -> dict[str, Any]:
        """Return the accuracy by instance, and in a curriculum how far it is."""
        line: dict[str, Any] = {"accuracy": {str(k): mean for k, mean in enumerate(means, 1) if mean is not None}}
        return line if self._config.most_classes is None else {"classes": classes_at(self._config, step), **line}

    def validate(self) -> dict[str, Any]:
        """Return the accuracy by instance on validation classes."""
        return {"validation": accuracy_by_instance(self.model, self._validation)}


def take_encoder(model: Classifier | Maml, config: Config, split: Split, other: Run) -> None:
    """Put the trained encoder of another run into `model`.

    Raises:
        InputError: there is none of this kind, or it has learned from classes that are not for training here.
    """
    theirs = classification_settings(other)
    for name in ("dataset", "size", "encoder", "encoder_width"):
        if getattr(theirs, name) != getattr(config, name):
            raise InputError(
                f"--encoder-from {other.folder}: its {name} is {getattr(theirs, name)}, not {getattr(config, name)}"
            )
    foreign = sorted(set(read_split(str(other.split_path)).train) - set(split.train))
    if foreign:
        raise InputError(
            f"--encoder-from {other.folder}: {len(foreign)} of the classes that it was trained on, such as "
            f"{foreign[0]!r}, are not for training here: use a run with the same --split"
        )
    device = next(model.parameters()).device
    model.encoder.load_state_dict(load_classifier(other, device).encoder.state_dict())


@contextmanager
def _naming(part: str) -> Iterator[None]:
    """Say in a refusal which classes it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{part} classes: {error}") from error


def train(
    config: Config,
    classes: ImageClasses,
    split: Split,
    run: Run,
    pace: Pace | None = None,
    report: Report | None = None,
    stopping: Callable[[], bool] | None = None,
) -> Classifier:
    """Train a classifier; see `Classification` for the first three arguments and `fit` for the others."""
    problem = Classification(config, classes, split)
    fit(problem, config, run, pace, report, stopping)
    return problem.model
