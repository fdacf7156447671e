"""Accuracy by instance: right answers at the 1st, 2nd, ... presentation of a class in an episode."""

from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from data import ImageClasses, InputError, Split
from episodes import Episode
from mann.addressing import WeightsAre
from mann.evaluation.held_out import (
    HELD_OUT,
    TEST,
    Answering,
    FixedEpisodes,
    OnProgress,
    Source,
    held_out_episodes,
    identity,
)
from mann.evaluation.intervals import by_instance
from mann.models.classifier import Classifier, count_by_instance, is_right
from mann.models.network import Access, MemoryNetwork, on_the_cpu
from mann.settings import Config


@torch.no_grad()
def answer_counts(
    model: Answering, fixed: FixedEpisodes[Source], progress: OnProgress | None = None
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Count right answers and all answers by episode and instance, int64 [episodes, instances] each.

    The memory is blank at the start of each episode. Persistent memory is never wiped: one more batch of sequences,
    which are not counted, is presented first, so that the first counted sequences too find a memory in use. Weights do
    not change.
    """
    # With random counting a class can be presented more often than on average, at most in every step.
    source = fixed.source
    instances = source.presentations if source.counting == "exact" else source.time
    steps = -(-fixed.episodes // source.batch)
    right, presented, state = [], [], None
    if fixed.persistent:
        earlier = source(steps)
        _, state = model(earlier.images, earlier.previous)
    for step in range(steps):
        episode = source(step)
        logits, after = model(episode.images, episode.previous, state)
        if fixed.persistent:
            state = after
        counted = count_by_instance(is_right(logits, episode), episode.presentation, instances)
        right.append(counted[0].cpu())
        presented.append(counted[1].cpu())
        if progress is not None:
            progress(min((step + 1) * source.batch, fixed.episodes))
    kept = slice(fixed.episodes)
    return torch.cat(right)[kept].numpy(), torch.cat(presented)[kept].numpy()


def accuracy_by_instance(model: Answering, fixed: FixedEpisodes) -> dict[str, float]:
    """Return the accuracy at each instance that was presented, for a line of metrics."""
    right, presented = (counts.sum(0) for counts in answer_counts(model, fixed))
    return {str(k + 1): float(right[k] / presented[k]) for k in range(len(presented)) if presented[k]}


def evaluate(
    model: Answering,
    config: Config,
    classes: ImageClasses,
    split: Split,
    part: str = "test",
    episodes: int = TEST.episodes,
    progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Measure the accuracy by instance; returns the content of `evaluation.json`.

    Args:
        model: The model.
        config: Settings of the episodes: those of the training, or from `mann.evaluation.held_out.with_classes`.
        classes: All classes, on the model's device.
        split: The parts of the classes.
        part: "test", or "validation" for choosing between settings.
        episodes: Number of episodes, at least 1.
        progress: Called after each batch.

    Raises:
        InputError: too few classes or episodes.

    >>> from data import load
    >>> from mann.models.building import build_nearest_pixels
    >>> config = Config("strokes")
    >>> classes, split = load("strokes", root=None, size=config.size, split=None)
    >>> found = evaluate(build_nearest_pixels(config), config, classes, split, episodes=50)
    >>> first, second, *_ = found["instances"]
    >>> first["instance"], first["accuracy"] < second["accuracy"]
    (1, True)
    """
    if episodes < 1:
        raise InputError(f"`episodes` {episodes}: at least 1 is needed")
    held_out = HELD_OUT[part]._replace(episodes=episodes)
    fixed = held_out_episodes(config, classes.select(getattr(split, part)), held_out)
    right, presented = answer_counts(model, fixed, progress)
    return {
        "task": "classification",
        "dataset": config.dataset,
        "split": part,
        "episodes": episodes,
        "classes": config.classes,
        "alphabets": config.alphabets,
        "memory": config.memory,
        "labels": config.labels,
        "instances": [instance._asdict() for instance in by_instance(right, presented)],
        # "shown" is the key that stored results have.
        "counts": {"of": identity(fixed), "right": in_columns(right), "shown": in_columns(presented)},
    }


def in_columns(counts: numpy.ndarray) -> list[str]:
    """Return counts [episodes, columns] as a text for each column, its numbers in the order of the episodes."""
    return [" ".join(map(str, column)) for column in counts.T.tolist()]


def from_columns(columns: list[str]) -> numpy.ndarray:
    """Return the counts [episodes, columns] of which `in_columns` made texts."""
    return numpy.array([[int(number) for number in column.split()] for column in columns]).T


class SequenceTrace(NamedTuple):
    """A sequence of images, the answers of a classifier, and the accesses to its memory.

    Attributes:
        episode: A batch of one.
        logits: [time, 1, characters, symbols].
        access: The accesses to the memory; None where there is no memory.
        weights_are: What the weights of the accesses are.
    """

    episode: Episode
    logits: Tensor
    access: Access | None
    weights_are: WeightsAre = "weightings"


@torch.no_grad()
def first_sequence(
    model: Classifier, config: Config, classes: ImageClasses, split: Split, part: str = "test"
) -> SequenceTrace:
    """Return the answers to the first sequence of an evaluation, on the CPU; see `evaluate`."""
    fixed = held_out_episodes(config, classes.select(getattr(split, part)), HELD_OUT[part])
    episode = Episode(*(values[:, :1] for values in fixed.source(0)))
    if isinstance(model.network, MemoryNetwork):
        logits, _, access = model.trace(episode.images, episode.previous)
        return on_the_cpu(SequenceTrace(episode, logits, access, model.network.scheme.weights_are))
    logits, _ = model(episode.images, episode.previous)
    return on_the_cpu(SequenceTrace(episode, logits, None))
