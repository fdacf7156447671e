"""Associative recall (Graves et al. 2014, section 4.3): presented with one of the items, recall the item after it.

    step      1 + vectors for each item        2 + vectors                         vectors
    input     item delimiter, its vectors      query delimiter, the vectors        0
                                               of one item, query delimiter
    answer    -                                -                                   the vectors of the next item

Input channels: the bits, the item delimiter, the query delimiter. The query is any item but the last.

Items are drawn independently: with 18 bits, two of six are equal once in 17,000 sequences. With far fewer bits the
query would often match two items, only one of which is meant.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch.nn import functional

from data.checking import AtLeastOne
from episodes.algorithmic.task import Task, TaskEpisode, draw_bits, draw_size, question_and_answer, refuse_empty_range


@dataclass(frozen=True)
class AssociativeRecall(Task):
    """Associative recall task.

    Raises:
        InputError: A size is below 1, there are fewer than 2 items, or `fewest` is above `most`.
    """

    bits: AtLeastOne = 6
    """Bits in a vector."""
    vectors: AtLeastOne = 3
    """Vectors in an item."""
    fewest: Annotated[int, Ge(2)] = 2
    """Fewest items in a sequence."""
    most: Annotated[int, Ge(2)] = 6
    """Most items in a sequence."""
    name: Literal["associative-recall"] = field(default="associative-recall", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that the range of items is not empty."""
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
        queried = torch.randint(items - 1, (batch,), generator=generator, device=generator.device)
        sequences = torch.arange(batch, device=generator.device)
        # `pad` counts from the last dimension: two channels for the delimiters, one step before the vectors.
        presented = functional.pad(vectors, (0, 2, 0, 0, 0, 0, 1, 0))
        presented[0, ..., self.bits] = 1
        # Indexed by (queried, sequences) together: the queried item of each sequence, [vectors, batch, bits].
        query = functional.pad(vectors[:, queried, sequences], (0, 2, 0, 0, 1, 1))
        query[[0, -1], :, self.bits + 1] = 1
        question = torch.cat([presented.transpose(0, 1).flatten(0, 1), query])
        return question_and_answer(question, answer=vectors[:, queried + 1, sequences])
