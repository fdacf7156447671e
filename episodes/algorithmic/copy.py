"""Copy (Graves et al. 2014, section 4.1): repeat a sequence of random bits once it has ended.

    step      1 .. length           length + 1    length + 2 .. 2 length + 1
    input     a vector each         delimiter     0
    answer    -                     -             the vectors, in order

Input channels: the bits, then the delimiter.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from episodes.algorithmic.task import (
    AtLeastOne,
    Task,
    TaskEpisode,
    draw_bits,
    draw_size,
    question_and_answer,
    refuse_below,
    refuse_empty_range,
)


@dataclass(frozen=True)
class Copy(Task):
    """Sequences to copy.

    Raises:
        InputError: a size is below 1, or the shortest sequence longer than the longest.
    """

    bits: AtLeastOne = 8
    """Bits in a vector."""
    shortest: AtLeastOne = 1
    """Fewest vectors in a sequence."""
    longest: AtLeastOne = 20
    """Most vectors in a sequence."""

    def __post_init__(self) -> None:
        """Check that the sequences asked for can be drawn."""
        refuse_below(1, bits=self.bits, shortest=self.shortest)
        refuse_empty_range(shortest=self.shortest, longest=self.longest)

    @property
    def input_size(self) -> int:
        """The bits and the delimiter."""
        return self.bits + 1

    @property
    def output_size(self) -> int:
        """The bits."""
        return self.bits

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        length = draw_size(self.shortest, self.longest, generator)
        vectors = draw_bits(length, batch, self.bits, generator=generator)
        question = functional.pad(vectors, (0, 1, 0, 0, 0, 1))
        question[-1, :, self.bits] = 1
        return question_and_answer(question, answer=vectors)
