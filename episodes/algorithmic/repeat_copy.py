"""Repeat copy (Graves et al. 2014, section 4.2): reproduce a sequence a given number of times, then emit an end marker.

    step      1 .. length          length + 1                        then length * repeats      the last
    input     one vector a step    delimiter, number of repeats      0                          0
    answer    -                    -                                 the vectors, repeated      end marker

Input channels: the bits, the delimiter, the number of repeats. Output channels: the bits, the end marker.

The paper states neither the bits of a vector nor whether there is a delimiter besides the number. Its baseline's
parameter count (5,312,007: a three-layer LSTM of 512 units with 8 inputs and 7 outputs, skip connections and a learned
initial state) fits 6 bits and a channel for each. A delimiter is needed: where the number is the mean of its range, its
channel is 0.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch.nn import functional

from data.checking import AtLeastOne
from episodes.algorithmic.task import Task, TaskEpisode, draw_bits, draw_size, question_and_answer, refuse_empty_range


@dataclass(frozen=True)
class RepeatCopy(Task):
    """Repeat copy task.

    Raises:
        InputError: A size is below 1, or the low end of a range is above its high end.
    """

    bits: AtLeastOne = 6
    """Bits in a vector."""
    shortest: AtLeastOne = 1
    """Fewest vectors in a sequence."""
    longest: AtLeastOne = 10
    """Most vectors in a sequence."""
    fewest: AtLeastOne = 1
    """Fewest repeats."""
    most: AtLeastOne = 10
    """Most repeats."""
    trained_fewest: AtLeastOne = 1
    """Fewest repeats in training: the number is presented scaled to mean 0, variance 1 over the range of training."""
    trained_most: AtLeastOne = 10
    """Most repeats in training. Keep it in a test with more repeats, so that each number is scaled as in training."""
    name: Literal["repeat-copy"] = field(default="repeat-copy", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that no range is empty."""
        refuse_empty_range(shortest=self.shortest, longest=self.longest)
        refuse_empty_range(fewest=self.fewest, most=self.most)
        refuse_empty_range(trained_fewest=self.trained_fewest, trained_most=self.trained_most)

    @property
    def parts(self) -> dict[str, slice]:
        """The vectors and the end marker."""
        return {"vectors": slice(self.bits), "end marker": slice(self.bits, None)}

    @property
    def input_size(self) -> int:
        """The bits, the delimiter and the number of repeats."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The bits and the end marker."""
        return self.bits + 1

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        length = draw_size(self.shortest, self.longest, generator)
        repeats = draw_size(self.fewest, self.most, generator)
        vectors = draw_bits(length, batch, self.bits, generator=generator)
        question = functional.pad(vectors, (0, 2, 0, 0, 0, 1))
        question[-1, :, self.bits] = 1
        question[-1, :, self.bits + 1] = normalised(repeats, self.trained_fewest, self.trained_most)
        answer = functional.pad(vectors.repeat(repeats, 1, 1), (0, 1, 0, 0, 0, 1))
        answer[-1, :, self.bits] = 1
        return question_and_answer(question, answer)


def normalised(number: int, low: int, high: int) -> float:
    """Scale a number so that low .. high, all equally likely, have mean 0 and variance 1.

    Where low and high are equal the variance is 0: the number is only centred.
    """
    # The variance of a discrete uniform distribution over n numbers is (n^2 - 1) / 12.
    variance = ((high - low + 1) ** 2 - 1) / 12
    return (number - (low + high) / 2) / (variance**0.5 or 1)
