"""Copy (Graves et al. 2014, section 4.1): reproduce a sequence of random bits after it has ended.

    step      1 .. length           length + 1    length + 2 .. 2 length + 1
    input     one vector a step     delimiter     0
    answer    -                     -             the vectors, in order

Input channels: the bits, then the delimiter.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch.nn import functional

from data.checking import AtLeastOne
from episodes.algorithmic.task import Task, TaskEpisode, draw_bits, draw_size, question_and_answer, refuse_empty_range


@dataclass(frozen=True)
class Copy(Task):
    """Copy task.

    A sequence of two vectors of three bits, its delimiter and two steps for the answer:

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(Copy(bits=3, shortest=2, longest=2), batch=1)(0)
    >>> inputs[:, 0].int().tolist()
    [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    >>> mask[:, 0].tolist()
    [False, False, False, True, True]
    >>> bool((targets[mask] == inputs[:2, 0, :3]).all())
    True

    Raises:
        InputError: A size is below 1, or `shortest` is above `longest`.
    """

    bits: AtLeastOne = 8
    """Bits in a vector."""
    shortest: AtLeastOne = 1
    """Fewest vectors in a sequence."""
    longest: AtLeastOne = 20
    """Most vectors in a sequence."""
    name: Literal["copy"] = field(default="copy", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that the range of lengths is not empty."""
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
        # One more channel and one more step, for the delimiter.
        question = functional.pad(vectors, (0, 1, 0, 0, 0, 1))
        question[-1, :, self.bits] = 1
        return question_and_answer(question, answer=vectors)
