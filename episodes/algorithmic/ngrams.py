"""Dynamic N-grams (Graves et al. 2014, section 4.4): predict each next bit from the statistics of its sequence.

Every sequence has probabilities of its own, P(1 | context) ~ Beta(1/2, 1/2) for each of the 2^context contexts (the
preceding bits). The first `context` bits have no full context and are 0 or 1 with probability 1/2. At step t the input
is the bit x_t and the answer x_{t+1}; the answers that are such first bits do not count. So 200 bits make 199 steps, of
which 195 count.

No prediction is better than the Bayes estimate of an observer who knows how sequences are made (`bayes_estimate`):

    P(1 | context) = (N1 + 1/2) / (N0 + N1 + 1),   N0, N1: zeros and ones that followed this context so far

It costs 128.2 bits a sequence on average. The paper's figure shows an optimum of about 132: it seems to count the four
first bits among the answers as well, at one bit each.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from data import InputError
from episodes.algorithmic.task import Task, TaskEpisode, draw_bits


@dataclass(frozen=True)
class NGrams(Task):
    """Dynamic N-grams task.

    Raises:
        InputError: A size is out of its range, or `length` is not above `context`.
    """

    context: Annotated[int, Ge(1), Le(10)] = 5
    """Preceding bits that determine the probability of the next one; 5: 6-grams."""
    length: Annotated[int, Ge(2)] = 200
    """Bits in a sequence, which has one step fewer."""
    name: Literal["ngrams"] = field(default="ngrams", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that some bit follows a whole context."""
        if self.length <= self.context:
            raise InputError(
                f"`length` is {self.length}, so that no bit follows a context of {self.context}: "
                f"raise `length` to {self.context + 1} or more, or lower `context`"
            )

    @property
    def input_size(self) -> int:
        """One bit."""
        return 1

    @property
    def output_size(self) -> int:
        """One bit, the next."""
        return 1

    def references(self, episode: TaskEpisode) -> dict[str, Tensor]:
        """Return the cost in bits of the Bayes estimate, and of counting after contexts shorter than the true ones."""
        shorter = {f"counting, context {bits}": counting_bits(episode, bits) for bits in range(1, self.context)}
        return {"Bayes estimate": counting_bits(episode, self.context), **shorter}

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        first = draw_bits(self.context, batch, generator=generator).long()
        uniform = torch.rand(2**self.context, batch, generator=generator, device=generator.device)
        chance = torch.rand(self.length - self.context, batch, generator=generator, device=generator.device)
        bits = follow(first, beta_half(uniform), chance).float()[..., None]
        mask = torch.arange(1, self.length, device=generator.device) >= self.context
        return TaskEpisode(
            inputs=bits[:-1],
            targets=bits[1:] * mask[:, None, None],
            mask=mask[:, None].repeat(1, batch),
        )


def beta_half(uniform: Tensor) -> Tensor:
    """Map uniform numbers in [0, 1) to draws from Beta(1/2, 1/2), by the inverse of its CDF, 2/pi asin(sqrt(p))."""
    return (uniform * (math.pi / 2)).sin().square()


def follow(first: Tensor, probabilities: Tensor, chance: Tensor) -> Tensor:
    """Continue from the first bits: each next bit is 1 where its `chance` is below the probability of its context.

    Args:
        first: int64 [context, batch], 0 or 1.
        probabilities: [2^context, batch], P(1) after each context, in the order of `context_numbers`.
        chance: [steps, batch], uniform in [0, 1).

    Returns:
        Bits, int64 [context + steps, batch].
    """
    context = len(first)
    number = context_numbers(first, context)
    bits = [first]
    # A loop over positions: a parallel scan over maps of all 2^context contexts would take log(steps) passes, but is
    # ten times slower on a CPU.
    for row in chance[:, None]:
        bit = (row < probabilities.gather(0, number)).long()
        # Shift the bit in; the modulus drops the oldest.
        number = (2 * number + bit) % 2**context
        bits.append(bit)
    return torch.cat(bits)


def context_numbers(bits: Tensor, context: int) -> Tensor:
    """Return every run of `context` bits as a binary number, the first bit the most significant.

    bits: int64 [time, batch], time >= context; returns int64 [time - context + 1, batch].
    """
    runs = bits.unfold(0, context, 1)
    return (runs * 2 ** torch.arange(context - 1, -1, -1, device=bits.device)).sum(-1)


def bayes_estimate(inputs: Tensor, context: int) -> Tensor:
    """Return P(x_{t+1} = 1) at every step for an observer who has seen x_1 .. x_t and knows how sequences are made.

    inputs: [time, batch, 1], 0 or 1, time >= context; returns float32 [time, batch, 1] in (0, 1). It is 1/2 before the
    first whole context.
    """
    bits = inputs[..., 0].long()
    numbers = context_numbers(bits, context)
    seen = functional.one_hot(numbers[:-1], 2**context)
    # Counts of the bits that followed each context *before* the step: zero at the first step, and without the step's
    # own bit after that, which is the answer.
    times = functional.pad(seen.cumsum(0), (0, 0, 0, 0, 1, 0)).gather(2, numbers[..., None])
    ones = functional.pad((seen * bits[context:, :, None]).cumsum(0), (0, 0, 0, 0, 1, 0)).gather(2, numbers[..., None])
    estimate = (ones + 0.5) / (times + 1)
    return functional.pad(estimate, (0, 0, 0, 0, context - 1, 0), value=0.5)


def counting_bits(episode: TaskEpisode, context: int) -> Tensor:
    """Return the cost of each sequence in bits if predicted by counting after contexts of `context` bits: [batch].

    With the context of the task this is the Bayes estimate. No network has a lower cost on average over many sequences;
    on a single sequence it can be lower by chance.
    """
    cost = functional.binary_cross_entropy(
        bayes_estimate(episode.inputs, context), episode.targets, reduction="none"
    ) / math.log(2)
    return (cost.sum(-1) * episode.mask).sum(0)
