"""Priority sort (Graves et al. 2014, section 4.5): return the vectors of highest priority, the highest first.

    step      1 .. items                           items + 1     then answers
    input     one vector and its priority a step   delimiter     0
    answer    -                                    -             whole vectors, by falling priority

Input channels: the bits, the priority (uniform in [-1, 1]), the delimiter.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from data import InputError
from data.checking import AtLeastOne
from episodes.algorithmic.task import Task, TaskEpisode, draw_bits, question_and_answer


@dataclass(frozen=True)
class PrioritySort(Task):
    """Priority sort task.

    Raises:
        InputError: A size is below 1, or `answers` is above `items`.
    """

    bits: AtLeastOne = 8
    """Bits in a vector."""
    items: AtLeastOne = 20
    """Vectors presented."""
    answers: AtLeastOne = 16
    """Vectors to return: those of highest priority."""
    name: Literal["priority-sort"] = field(default="priority-sort", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that no more vectors have to be returned than are presented."""
        if self.answers > self.items:
            raise InputError(
                f"`answers` is {self.answers}, but only {self.items} vectors are presented: "
                f"lower `answers` to {self.items} or less, or raise `items` to {self.answers} or more"
            )

    @property
    def input_size(self) -> int:
        """The bits, the priority and the delimiter."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The bits."""
        return self.bits

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        vectors = draw_bits(self.items, batch, self.bits, generator=generator)
        priorities = torch.rand(self.items, batch, generator=generator, device=generator.device) * 2 - 1
        question = functional.pad(torch.cat([vectors, priorities[..., None]], -1), (0, 1, 0, 0, 0, 1))
        question[-1, :, self.bits + 1] = 1
        return question_and_answer(question, by_priority(vectors, priorities)[: self.answers])


def by_priority(vectors: Tensor, priorities: Tensor) -> Tensor:
    """Sort whole vectors [items, batch, bits] by falling priority [items, batch]; equal priorities keep their order."""
    order = priorities.sort(dim=0, descending=True, stable=True).indices
    return vectors.gather(0, order[..., None].expand_as(vectors))
