"""What the two recall tasks share: pairs of a key and a value in a step, then keys to be answered.

Multi-query recall (Arora et al. 2023, "Zoology", arXiv 2312.04927) with key and value side by side in one step, so that
nothing has to be bound over time: what is measured is how many pairs a state can hold. The keys of an episode are a
sample of a larger vocabulary. A state with fewer places than the vocabulary has keys cannot keep one for each key: it
has to find places for those of the episode, or to superpose them. With as many places as keys, the task is a look-up
in a fixed table, so `keys` belongs above the number of slots, units or dimensions of the addresses.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from data import InputError
from data.checking import AtLeastOne
from episodes.algorithmic.task import AnswerKind, Task, TaskEpisode, refuse_empty_range
from episodes.algorithmic.tokens import one_hot


@dataclass(frozen=True)
class Recall(Task):
    """Pairs, then each key once; the value is answered at the key.

    Raises:
        InputError: A size is below 1, `fewest` is above `most`, or there are fewer keys than `most`.
    """

    answer_kind: ClassVar[AnswerKind] = "tokens"
    fewest: AtLeastOne = 1
    """Fewest pairs in an episode."""
    most: AtLeastOne = 64
    """Most pairs in an episode."""
    keys: AtLeastOne = 256
    """Vocabulary of the keys."""
    values: AtLeastOne = 64
    """Vocabulary of the values."""

    def check(self) -> None:
        """Check that the range of pairs is not empty, and that there are keys for them."""
        refuse_empty_range(fewest=self.fewest, most=self.most)
        if self.most > self.keys:
            raise InputError(
                f"`most` is {self.most}, but `keys` only {self.keys}: each pair has a key of its own, so lower `most` "
                "or raise `keys`"
            )

    @property
    def input_size(self) -> int:
        """Keys and values, one-hot side by side."""
        return self.keys + self.values

    @property
    def output_size(self) -> int:
        """The values."""
        return self.values

    def questions(self, pairs: Tensor, contents: Tensor, asked: Tensor, answers: Tensor) -> TaskEpisode:
        """Return episodes of pairs and then keys alone.

        Args:
            pairs: int64 [steps, batch], the keys of the pairs.
            contents: int64 [steps, batch], their values.
            asked: int64 [questions, batch], keys.
            answers: int64 [questions, batch], their values.
        """
        presented = torch.cat([one_hot(pairs, self.keys), one_hot(contents, self.values)], -1)
        keys = functional.pad(one_hot(asked, self.keys), (0, self.values))
        before = (0, 0, len(pairs), 0)
        return TaskEpisode(
            inputs=torch.cat([presented, keys]),
            targets=functional.pad(one_hot(answers, self.values), (0, 0, *before)),
            mask=functional.pad(torch.ones_like(asked, dtype=torch.bool), before),
        )


def draw_subset(size: int, of: int, batch: int, generator: torch.Generator) -> Tensor:
    """Draw `size` of the numbers 0 .. of - 1 for each sequence, in random order, int64 [size, batch]."""
    return torch.rand(of, batch, generator=generator, device=generator.device).argsort(0)[:size]
