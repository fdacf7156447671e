"""The meaning of a network's outputs in an algorithmic task: their cost, and the figures that are counted.

Outputs are logits of bits, the mean and the logarithm of the variance of a number, or logits of tokens.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from episodes import TASKS, AnswerKind, TaskEpisode
from mann.evaluation.intervals import mean_interval, share_interval
from mann.training import Counts

Interval = Callable[[numpy.ndarray, numpy.ndarray], tuple[float, float]]
"""From the counts of each batch and their totals to the ends of a 95% interval."""


class Answers(ABC):
    """Evaluation of one kind of answers.

    Attributes:
        figures: The reported figures by name, the most important first: a mean over sequences or a fraction, each with
            its kind of interval.
        share: Whether the most important figure is a share of right answers; else it is a cost.
    """

    figures: ClassVar[Mapping[str, Interval]]
    share: ClassVar[bool] = False

    @property
    def main(self) -> str:
        """The name of the most important figure."""
        return next(iter(self.figures))

    @abstractmethod
    def judge(self, outputs: Tensor, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """Return the mean cost of an answer in nats, [], and the counts for each figure.

        outputs: [time, batch, output_size].
        """


class BitAnswers(Answers):
    """Logits of bits. Their cost is the cross-entropy (Graves et al. 2014 plot it, in bits a sequence).

    A bit is wrong if it is on the wrong side of 1/2.
    """

    figures = {
        "bits_per_sequence": mean_interval,
        "wrong_bits_per_sequence": mean_interval,
        "exact_sequences": share_interval,
        "bit_error_rate": share_interval,
    }

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
    """A mean and the logarithm of a variance. Their cost is the negative log-density of the number."""

    figures = {"nats_per_sequence": mean_interval, "squared_error": mean_interval}

    def judge(self, outputs: Tensor, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """See `Answers`; outputs: [time, batch, 2]."""
        mean, log_variance = outputs.split(1, -1)
        asked = episode.mask.unsqueeze(-1).float()
        square = (episode.targets - mean).square()
        negative_log_density = 0.5 * (math.log(2 * math.pi) + log_variance + square * (-log_variance).exp())
        cost, squares, numbers = ((value * asked).sum((0, 2)) for value in (negative_log_density, square, asked))
        counted = torch.stack([cost, squares], -1).detach()
        return cost.sum() / numbers.sum(), Counts(counted, torch.stack([torch.ones_like(numbers), numbers], -1))


class TokenAnswers(Answers):
    """Logits of tokens, of which the largest is the answer."""

    figures = {"token_accuracy": share_interval, "exact_sequences": share_interval, "nats_per_token": mean_interval}
    share = True

    def judge(self, outputs: Tensor, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """See `Answers`."""
        asked = episode.mask.float()
        entropy = -(outputs.log_softmax(-1) * episode.targets).sum(-1)
        is_right = outputs.argmax(-1) == episode.targets.argmax(-1)
        cost, right, tokens = ((value * asked).sum(0) for value in (entropy, is_right, asked))
        counted = torch.stack([right, (right == tokens).float(), cost.detach()], -1)
        return cost.sum() / tokens.sum(), Counts(counted, torch.stack([tokens, torch.ones_like(tokens), tokens], -1))


_ANSWERS: Final[Mapping[AnswerKind, Answers]] = {
    "bits": BitAnswers(),
    "numbers": GaussianAnswers(),
    "tokens": TokenAnswers(),
}


def answers_of(task: str) -> Answers:
    """Return the evaluation of a task's answers."""
    return _ANSWERS[TASKS[task].answer_kind]
