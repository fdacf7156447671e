"""Priority sort (Graves et al. 2014, section 4.5): name the vectors of highest priority, the highest first.

    step      1 .. items                        items + 1     then answers
    input     a vector and its priority each    delimiter     0
    answer    -                                 -             whole vectors, by falling priority

Input channels: the bits, the priority (uniform in [-1, 1]), the delimiter.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from data import InputError
from episodes.algorithmic.task import AtLeastOne, Task, TaskEpisode, draw_bits, question_and_answer, refuse_below


@dataclass(frozen=True)
class PrioritySort(Task):
    """Vectors to sort.

    Raises:
        InputError: a size is below 1, or more vectors are asked for than shown.
    """

    bits: AtLeastOne = 8
    """Bits in a vector."""
    items: AtLeastOne = 20
    """Vectors shown."""
    answers: AtLeastOne = 16
    """Vectors asked for: those of highest priority."""

    def __post_init__(self) -> None:
        """Check that the sequences asked for can be drawn."""
        refuse_below(1, bits=self.bits, items=self.items, answers=self.answers)
        if self.answers > self.items:
            raise InputError(
                f"{self.answers} answers asked for, but only {self.items} vectors shown: "
                f"lower answers to {self.items} or less, or raise items"
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
    """Sort whole vectors [items, batch, bits] by falling priority [items, batch], equal ones as they came."""
    order = priorities.sort(dim=0, descending=True, stable=True).indices
    return vectors.gather(0, order[..., None].expand_as(vectors))
