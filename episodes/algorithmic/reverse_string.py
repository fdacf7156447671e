"""Reverse string (Deletang et al. 2022): a string, from its last token to its first.

question   s_1 .. s_n
answer     s_n .. s_1
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from data.checking import AtLeastOne
from episodes.algorithmic.tokens import StringTask, TokenStrings, draw_tokens


@dataclass(frozen=True)
class ReverseString(StringTask):
    """Reverse a string.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(ReverseString(shortest=3, longest=3), batch=1)(0)
    >>> inputs[:3, 0].argmax(-1).tolist(), targets[mask].argmax(-1).tolist()
    ([0, 1, 0], [0, 1, 0])
    """

    vocabulary: AtLeastOne = 2
    """Tokens of the strings."""
    name: Literal["reverse-string"] = field(default="reverse-string", repr=False, kw_only=True)
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
        return TokenStrings(tokens, tokens.flip(0))
