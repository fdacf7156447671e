"""N-way K-shot accuracy on classes that were never trained on."""

from dataclasses import replace
from itertools import product
from typing import Any, Final

import numpy
import torch
from torch import Tensor

from data import ImageClasses, InputError, Split
from episodes import ClassificationEpisodes, Episode
from episodes.few_shot import FewShot, few_shot
from mann.evaluation.held_out import BATCH, HELD_OUT, TEST, Answering, FixedEpisodes, OnProgress, Source, identity
from mann.evaluation.instances import in_columns
from mann.evaluation.intervals import share_interval
from mann.models.baselines.maml import MAML
from mann.models.classifier import episode_labels
from mann.settings import Config, Nearest, Prototypes

SHOTS: Final = (1, 5)
"""Numbers of shots that papers report, and that are measured by default."""
QUERIES: Final = 5
"""Queries of each class, by default."""


def few_shot_episodes(
    config: Config, images: ImageClasses, ways: int, shots: int, queries: int, seed: int
) -> ClassificationEpisodes:
    """Return episodes that `episodes.few_shot` cuts into support sets and queries.

    They are the same for all models with the same labels.

    Raises:
        InputError: the network has too few labels, or there are too few classes or images.
    """
    for name, value, least in (("ways", ways, 2), ("shots", shots, 1), ("queries", queries, 1)):
        if value < least:
            raise InputError(f"`{name}` {value}: at least {least} is needed")
    if ways > config.most_labelled and config.labels == "one-hot":
        raise InputError(
            f"`ways` {ways}: the one-hot labels of a training with {config.most_labelled} classes tell no more apart; "
            f"use at most {config.most_labelled}, or a run trained with `classes={ways}` or `labels=strings`"
        )
    if ways > len(images.names):
        raise InputError(f"`ways` {ways}: there are only {len(images.names)} classes to draw from")
    fewest = int(images.counts.min())
    if shots + queries > fewest:
        raise InputError(
            f"`shots` {shots} and `queries` {queries} take {shots + queries} images of a class, but class "
            f"{images.names[int(images.counts.argmin())]!r} has {fewest}: lower one of them"
        )
    labels, alphabets = episode_labels(config), config.alphabets
    return ClassificationEpisodes(images, labels, ways, shots + queries, alphabets=alphabets, batch=BATCH, seed=seed)


def with_ways(config: Config, ways: tuple[int, ...]) -> Config:
    """Return the settings with enough labels for `ways` classes, where the model's weights do not depend on labels."""
    if not isinstance(config.model, Prototypes | Nearest):
        return config
    most = max(config.classes, *ways)
    return replace(config, classes=most, most_classes=config.most_classes and max(most, config.most_classes))


def answers_from_memory(model: Answering, cut: FewShot) -> Tensor:
    """Present the support sets, then answer each query from the same state.

    Returns logits [queries, batch, characters, symbols].
    """
    _, state = model(cut.support.images, cut.support.previous)
    # States are never modified in place: the state after a query is dropped, and the next query starts from `state`.
    queries = zip(cut.queries.images, cut.queries.previous, strict=True)
    return torch.cat([model(image[None], previous[None], state)[0] for image, previous in queries])


@torch.no_grad()
def answered_right(model: Answering | MAML, episode: Episode, shots: int) -> Tensor:
    """Return which queries are answered right after the support sets, bool [queries, batch].

    The answer is the most probable of the labels that the support set carries.
    """
    cut = few_shot(episode, shots)
    logits = model(cut) if isinstance(model, MAML) else answers_from_memory(model, cut)
    _, queries, names = cut
    likely = logits.log_softmax(-1)[:, None].expand(-1, len(names), -1, -1, -1)
    # A label's probability is the product of those of its characters.
    scores = likely.gather(-1, names[None, ..., None].expand(*likely.shape[:-1], 1)).sum((-2, -1))
    asked = (names == queries.targets[:, None]).all(-1)
    return asked.gather(1, scores.argmax(1, keepdim=True))[:, 0]


def right_answers(
    model: Answering | MAML, source: Source, shots: int, episodes: int, progress: OnProgress | None = None
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Count right answers and all answers for the first `episodes` sequences of a source, int64 [episodes] each."""
    right = []
    for step in range(-(-episodes // source.batch)):
        right.append(answered_right(model, source(step), shots))
        if progress is not None:
            progress(min((step + 1) * source.batch, episodes))
    answers = torch.cat(right, 1)[:, :episodes].cpu().numpy()
    return answers.sum(0), numpy.full(episodes, len(answers))


def share_right(right: numpy.ndarray, answers: numpy.ndarray) -> dict[str, Any]:
    """Return accuracy, its 95% interval and the number of answers, from counts of `right_answers`."""
    low, high = share_interval(right, answers)
    observations = int(answers.sum())
    return {"accuracy": int(right.sum()) / observations, "low": low, "high": high, "observations": observations}


def evaluate_few_shot(
    model: Answering | MAML,
    config: Config,
    classes: ImageClasses,
    split: Split,
    ways: tuple[int, ...],
    shots: tuple[int, ...],
    queries: int = QUERIES,
    part: str = "test",
    episodes: int = TEST.episodes,
    progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Measure N-way K-shot accuracy; returns the content of `few-shot.json`.

    Args:
        model: The model.
        config: Settings of the episodes: those of the training, perhaps with other alphabets or `with_ways`.
        classes: All classes, on the model's device.
        split: The parts of the classes.
        ways: Numbers of classes, at least one number.
        shots: Numbers of images of a class, each measured with each number of classes; at least one number.
        queries: Queries of each class.
        part: "test", or "validation" for choosing between settings.
        episodes: Number of episodes for each pair of ways and shots, at least 1.
        progress: Called after each batch with the number of episodes done, on average over ways and shots.

    Raises:
        InputError: too few classes, images, labels or episodes.
    """
    if episodes < 1:
        raise InputError(f"`episodes` {episodes}: at least 1 is needed")
    images, seed = classes.select(getattr(split, part)), HELD_OUT[part].seed
    pairs = list(product(ways, shots))
    sources = [few_shot_episodes(config, images, *pair, queries, seed) for pair in pairs]
    counts = []
    for number, ((_, shot), source) in enumerate(zip(pairs, sources, strict=True)):

        def average(done: int, before: int = number * episodes) -> None:
            if progress is not None:
                progress((before + done) // len(pairs))

        counts.append(right_answers(model, source, shot, episodes, average))
    right, answers = (numpy.stack(columns, 1) for columns in zip(*counts, strict=True))
    return {
        "task": "few-shot",
        "dataset": config.dataset,
        "split": part,
        "episodes": episodes,
        "queries": queries,
        "labels": config.labels,
        "alphabets": config.alphabets,
        "results": [
            {"ways": way, "shots": shot, **share_right(*of_pair)}
            for (way, shot), of_pair in zip(pairs, counts, strict=True)
        ],
        "counts": {
            "of": [
                [*pair, identity(FixedEpisodes(source, episodes))] for pair, source in zip(pairs, sources, strict=True)
            ],
            "right": in_columns(right),
            # "shown" is the key that stored results have.
            "shown": in_columns(answers),
        },
    }
