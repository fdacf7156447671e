"""What the outputs of a network mean in an algorithmic task: what they cost, and what is counted.

A task asks for bits, and the network answers with a logit for each; or it asks for a number, and the network answers
with a mean and the logarithm of a variance.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from episodes import TaskEpisode
from mann.evaluation.intervals import mean_interval, share_interval
from mann.training.loop import Counts

Interval = Callable[[numpy.ndarray, numpy.ndarray], tuple[float, float]]
"""From what was counted in each batch, and out of how many, to the ends of a 95% interval."""


class Answers(ABC):
    """How answers of a kind are judged.

    Attributes:
        figures: By name, what is counted and reported, that which says most first: a mean over sequences or a share,
            with the interval that fits.
    """

    figures: ClassVar[Mapping[str, Interval]]

    @property
    def cost(self) -> str:
        """The figure that says most."""
        return next(iter(self.figures))

    @abstractmethod
    def judge(self, outputs: Tensor, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """Return the mean cost of an answer in nats, [], and what is counted for each figure.

        outputs: [time, batch, output_size].
        """


class BitAnswers(Answers):
    """Logits of bits. Their cost is the cross-entropy (Graves et al. 2014 plot it, in bits a sequence).

    A bit is wrong if it is on the wrong side of 1/2.
    """

    figures = MappingProxyType(
        {
            "bits_per_sequence": mean_interval,
            "wrong_bits_per_sequence": mean_interval,
            "exact_sequences": share_interval,
            "bit_error_rate": share_interval,
        }
    )

    def judge(self, outputs: Tensor, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """See `Answers`."""
        asked = episode.mask.unsqueeze(-1).expand_as(outputs).float()
        entropy = functional.binary_cross_entropy_with_logits(outputs, episode.targets, reduction="none")
        is_wrong = (outputs > 0) != (episode.targets > 0.5)
        cost, wrong, bits = ((value * asked).sum((0, 2)) for value in (entropy, is_wrong, asked))
        counted = torch.stack([cost.detach() / math.log(2), wrong, (wrong == 0).float(), wrong], -1)
        ones = torch.ones_like(bits)
        return cost.sum() / bits.sum(), Counts(counted, torch.stack([ones, ones, ones, bits], -1))


class GaussianAnswers(Answers):
    """A mean and the logarithm of a variance. Their cost is -log of the density that they give the number."""

    figures = MappingProxyType({"nats_per_sequence": mean_interval, "squared_error": mean_interval})

    def judge(self, outputs: Tensor, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """See `Answers`; outputs: [time, batch, 2]."""
        mean, log_variance = outputs.split(1, -1)
        asked = episode.mask.unsqueeze(-1).float()
        square = (episode.targets - mean).square()
        density = 0.5 * (math.log(2 * math.pi) + log_variance + square * (-log_variance).exp())
        cost, squares, numbers = ((value * asked).sum((0, 2)) for value in (density, square, asked))
        counted = torch.stack([cost, squares], -1).detach()
        return cost.sum() / numbers.sum(), Counts(counted, torch.stack([torch.ones_like(numbers), numbers], -1))


_ANSWERS: Mapping[str, Answers] = MappingProxyType({"regression": GaussianAnswers()})
_BITS = BitAnswers()


def answers_of(task: str) -> Answers:
    """Return how the answers of a task are judged; most tasks ask for bits."""
    return _ANSWERS.get(task, _BITS)
