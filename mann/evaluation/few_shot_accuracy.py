"""N-way K-shot accuracy on classes that were never trained on."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy
import torch
from torch import Tensor

from data import ImageClasses, InputError, Split
from episodes import ClassificationEpisodes, Episode
from episodes.few_shot import FewShot, few_shot
from mann.evaluation.instances import (
    BATCH,
    HELD_OUT,
    TEST,
    Answering,
    FixedEpisodes,
    Report,
    Source,
    classification_settings,
    identity,
    in_columns,
    load_classifier,
)
from mann.evaluation.intervals import share_interval
from mann.models.baselines.maml import Maml, build_maml
from mann.models.classifier import episode_labels
from mann.runs.run import Run
from mann.settings.schema import Config

QUERIES = 5
"""Drawings of each class to be named, unless said otherwise."""


def few_shot_episodes(
    config: Config, images: ImageClasses, ways: int, shots: int, queries: int, seed: int
) -> ClassificationEpisodes:
    """Return episodes to be cut by `episodes.few_shot`: the same for all models that name classes alike.

    Raises:
        InputError: the network has too few names, or there are too few classes or drawings.
    """
    for name, value, least in (("ways", ways, 2), ("shots", shots, 1), ("queries", queries, 1)):
        if value < least:
            raise InputError(f"--{name} {value}: at least {least} is needed")
    if ways > config.labelled and config.labels == "one-hot":
        raise InputError(
            f"--ways {ways}: with the one-hot labels of a training with {config.labelled} classes no more can be told "
            f"apart; use at most {config.labelled}, or a run trained with --classes {ways} or --labels strings"
        )
    if ways > len(images.names):
        raise InputError(f"--ways {ways}: there are only {len(images.names)} classes to draw from")
    fewest = int(images.counts.min())
    if shots + queries > fewest:
        raise InputError(
            f"--shots {shots} and --queries {queries} take {shots + queries} drawings of a class, but class "
            f"{images.names[int(images.counts.argmin())]!r} has {fewest}: lower one of them"
        )
    labels, alphabets = episode_labels(config), config.alphabets
    return ClassificationEpisodes(images, labels, ways, shots + queries, alphabets=alphabets, batch=BATCH, seed=seed)


def answers_from_memory(model: Answering, cut: FewShot) -> Tensor:
    """Show support sets, then have each query answered from the same state.

    Returns logits [queries, batch, characters, symbols].
    """
    _, state = model(cut.support.images, cut.support.previous)
    # A state is never modified: what a query leaves in the memory is dropped with the state after it.
    asked = zip(cut.queries.images, cut.queries.previous, strict=True)
    return torch.cat([model(image[None], previous[None], state)[0] for image, previous in asked])


@torch.no_grad()
def answered_right(model: Answering | Maml, episode: Episode, shots: int) -> Tensor:
    """Have queries answered after support sets; returns bool [queries, batch].

    What counts is the most probable of the labels that the support set carries.
    """
    cut = few_shot(episode, shots)
    logits = model(cut) if isinstance(model, Maml) else answers_from_memory(model, cut)
    _, queries, names = cut
    likely = logits.log_softmax(-1)[:, None].expand(-1, len(names), -1, -1, -1)
    # A label's probability is the product of those of its characters.
    scores = likely.gather(-1, names[None, ..., None].expand(*likely.shape[:-1], 1)).sum((-2, -1))
    asked = (names == queries.targets[:, None]).all(-1)
    return asked.gather(1, scores.argmax(1, keepdim=True))[:, 0]


def right_answers(
    model: Answering | Maml, source: Source, shots: int, episodes: int, report: Report | None = None
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Count right answers and all answers for the first `episodes` sequences of a source, int64 [episodes] each."""
    right = []
    for step in range(-(-episodes // source.batch)):
        right.append(answered_right(model, source(step), shots))
        if report is not None:
            report(min((step + 1) * source.batch, episodes))
    answers = torch.cat(right, 1)[:, :episodes].cpu().numpy()
    return answers.sum(0), numpy.full(episodes, len(answers))


def share_right(right: numpy.ndarray, shown: numpy.ndarray) -> dict[str, Any]:
    """Return accuracy, its 95% interval and the number of answers, from counts of `right_answers`."""
    low, high = share_interval(right, shown)
    observations = int(shown.sum())
    return {"accuracy": int(right.sum()) / observations, "low": low, "high": high, "observations": observations}


def evaluate_few_shot(
    run: Run,
    classes: ImageClasses,
    split: Split,
    ways: tuple[int, ...],
    shots: tuple[int, ...],
    queries: int = QUERIES,
    part: str = "test",
    episodes: int = TEST.episodes,
    report: Report | None = None,
    model: Answering | None = None,
    config: Config | None = None,
) -> dict[str, Any]:
    """Measure N-way K-shot accuracy of a run's last checkpoint; returns the content of `few-shot.json`.

    Args:
        run: The run.
        classes: All classes, on the device to work on.
        split: The parts of the classes.
        ways: Numbers of classes, at least one number.
        shots: Numbers of drawings of a class, each measured with each number of classes; at least one number.
        queries: Drawings of each class to be named.
        part: "test", or "validation" while one is still choosing.
        episodes: How many for each, at least 1.
        report: Called now and then with how many episodes have been done, on average over ways and shots.
        model: Measured in place of the run's classifier, on the same episodes.
        config: Settings of the episodes; None: the run's own.

    Raises:
        InputError: no checkpoint, or too few classes, drawings, labels or episodes.
    """
    if episodes < 1:
        raise InputError(f"--episodes {episodes}: at least 1 is needed")
    config = config or classification_settings(run)
    if config.addressing in ("prototypes", "nearest"):
        # Their weights know of no labels: there may be more than in training.
        config = replace(config, classes=max(config.classes, *ways))
    images, seed = classes.select(getattr(split, part)), HELD_OUT[part].seed
    pairs = list(product(ways, shots))
    sources = [few_shot_episodes(config, images, *pair, queries, seed) for pair in pairs]
    answering = model or _load(run, classes.images.device, config)
    results, right, shown = [], [], []
    for number, ((way, shot), source) in enumerate(zip(pairs, sources, strict=True)):

        def count(done: int, before: int = number * episodes) -> None:
            if report is not None:
                report((before + done) // len(pairs))

        counts = right_answers(answering, source, shot, episodes, count)
        results.append({"ways": way, "shots": shot, **share_right(*counts)})
        right.append(counts[0])
        shown.append(counts[1])
    return {
        "task": "few-shot",
        "dataset": config.dataset,
        "split": part,
        "episodes": episodes,
        "queries": queries,
        "labels": config.labels,
        "alphabets": config.alphabets,
        "results": results,
        "counts": {
            "of": [
                [*pair, identity(FixedEpisodes(source, episodes))] for pair, source in zip(pairs, sources, strict=True)
            ],
            "right": in_columns(numpy.stack(right, 1)),
            "shown": in_columns(numpy.stack(shown, 1)),
        },
    }


def _load(run: Run, device: torch.device, config: Config) -> Answering | Maml:
    """Return what a run's last checkpoint holds.

    Raises:
        InputError: there is none, it is damaged, or learn2learn is needed and not installed.
    """
    if config.addressing != "maml":
        return load_classifier(run, device, config)
    model = build_maml(config)
    run.load(model)
    return model.to(device)
