"""Bucket sort (Deletang et al. 2022): the tokens of a string in rising order.

question   s_1 .. s_n
answer     the same tokens, sorted
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from data.checking import AtLeastOne
from episodes.algorithmic.tokens import StringTask, TokenStrings, draw_tokens


@dataclass(frozen=True)
class BucketSort(StringTask):
    """Sort tokens.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(BucketSort(shortest=3, longest=3), batch=1)(0)
    >>> inputs[:3, 0].argmax(-1).tolist(), targets[mask].argmax(-1).tolist()
    ([3, 2, 2], [2, 2, 3])
    """

    vocabulary: AtLeastOne = 5
    """Tokens of the strings."""
    name: Literal["bucket-sort"] = field(default="bucket-sort", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    @property
    def question_tokens(self) -> int:
        """The vocabulary."""
        return self.vocabulary

    @property
    def output_size(self) -> int:
        """The vocabulary."""
        return self.vocabulary

    def strings(self, length: int, batch: int, generator: torch.Generator) -> TokenStrings:
        """See `StringTask`."""
        tokens = draw_tokens(self.vocabulary, length, batch, generator=generator)
        return TokenStrings(tokens, tokens.sort(0).values)
