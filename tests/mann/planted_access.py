"""Accesses to memory with planted weights, and episodes for them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from episodes import Episode, TaskEpisode
from mann.addressing import Scheme, Write
from mann.models.controllers import controller_kind
from mann.models.network import Access, MemoryNetwork


class Usage(NamedTuple):
    """The state of a scheme with usage counts."""

    usage: Tensor


class Age(NamedTuple):
    """The state of a scheme that counts the steps without use."""

    age: Tensor


def random(*shape: int) -> Tensor:
    """Return random numbers in [0, 1), the same for shapes of the same length."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(len(shape)))


def planted(
    writes: Tensor, reads: Tensor, addressing: Any = (), controls: dict[str, Tensor] | None = None, word_size: int = 3
) -> Access:
    """Return an access with given weights [time, heads, slots] and random vectors."""
    time, heads, slots = writes.shape
    return Access(
        controls=controls or {},
        write=Write(writes[:, None], torch.ones(time, 1, slots, 1), random(time, 1, heads, word_size) - 0.5),
        read_weights=reads[:, None],
        memory=random(time, 1, slots, word_size) - 0.5,
        addressing=addressing,
        reads=random(time, 1, reads.shape[1] * word_size) - 0.5,
    )


def weightings(time: int, heads: int, slots: int, *entries: tuple[int, int, int, float]) -> Tensor:
    """Return weights [time, heads, slots] that are 0 except for entries (step from 0, head, slot, weight)."""
    weights = torch.zeros(time, heads, slots)
    for step, head, slot, weight in entries:
        weights[step, head, slot] = weight
    return weights


def task_episode(time: int, targets: int, bits: int = 2) -> TaskEpisode:
    """Return an episode whose last steps have targets, all of them 0."""
    mask = torch.arange(time)[:, None] >= time - targets
    return TaskEpisode(random(time, 1, bits + 1).round(), torch.zeros(time, 1, bits), mask)


def class_episode(labels: Sequence[Sequence[int]], characters: int = 1) -> Episode:
    """Return images of 4 x 4 pixels; labels: [time][batch], each repeated for every character."""
    targets = torch.tensor(labels)[..., None].expand(-1, -1, characters)
    time, batch, _ = targets.shape
    seen = [[sum(row[b] == now[b] for row in labels[: t + 1]) for b in range(batch)] for t, now in enumerate(labels)]
    return Episode(
        images=random(time, batch, 4, 4),
        previous=torch.zeros(time, batch, 5 * characters),
        targets=targets,
        presentation=torch.tensor(seen),
        classes=targets[..., 0] + 40,
    )


def one_sequence(*labels: int) -> Episode:
    """Return an episode of one sequence with these labels."""
    return class_episode([[label] for label in labels])


def answers(*labels: int, symbols: int = 5) -> Tensor:
    """Return logits [time, 1, 1, symbols] whose largest are these answers."""
    return torch.nn.functional.one_hot(torch.tensor(labels), symbols).float()[:, None, None]


def small_network(
    scheme: Scheme, inputs: int = 4, outputs: int = 3, slots: int = 5, word_size: int = 4
) -> MemoryNetwork:
    """Return a network with random weights, large enough to have an effect."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = MemoryNetwork(inputs, outputs, scheme, controller_kind("lstm", 1), 4, slots, word_size)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(3)
    return network
