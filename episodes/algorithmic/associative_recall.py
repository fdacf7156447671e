"""Associative recall (Graves et al. 2014, section 4.3): shown one of the items, name the item that came after it.

    step      1 + vectors for each item        2 + vectors                         vectors
    input     item delimiter, its vectors      query delimiter, the vectors        0
                                               of one item, query delimiter
    answer    -                                -                                   the vectors of the next item

Input channels: the bits, the item delimiter, the query delimiter. The item asked for is any but the last.

Items are drawn independently: with 18 bits, two of six are equal once in 17,000 sequences. With far fewer bits the
query would often name two items, of which only one is meant.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
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
class AssociativeRecall(Task):
    """Items to recall.

    Raises:
        InputError: a size is below 1, fewer than 2 items, or the fewest items more than the most.
    """

    bits: AtLeastOne = 6
    """Bits in a vector."""
    vectors: AtLeastOne = 3
    """Vectors in an item."""
    fewest: Annotated[int, Ge(2)] = 2
    """Fewest items in a sequence."""
    most: Annotated[int, Ge(2)] = 6
    """Most items in a sequence."""

    def __post_init__(self) -> None:
        """Check that the sequences asked for can be drawn."""
        refuse_below(1, bits=self.bits, vectors=self.vectors)
        refuse_below(2, fewest=self.fewest)
        refuse_empty_range(fewest=self.fewest, most=self.most)

    @property
    def input_size(self) -> int:
        """The bits and the two delimiters."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The bits."""
        return self.bits

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        items = draw_size(self.fewest, self.most, generator)
        vectors = draw_bits(self.vectors, items, batch, self.bits, generator=generator)
        asked = torch.randint(items - 1, (batch,), generator=generator, device=generator.device)
        sequences = torch.arange(batch, device=generator.device)
        shown = functional.pad(vectors, (0, 2, 0, 0, 0, 0, 1, 0))
        shown[0, ..., self.bits] = 1
        query = functional.pad(vectors[:, asked, sequences], (0, 2, 0, 0, 1, 1))
        query[[0, -1], :, self.bits + 1] = 1
        question = torch.cat([shown.transpose(0, 1).flatten(0, 1), query])
        return question_and_answer(question, answer=vectors[:, asked + 1, sequences])
