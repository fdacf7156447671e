"""Odds first (Deletang et al. 2022): the tokens at odd places of a string, then those at even places.

    question   s_1 .. s_n
    answer     s_1 s_3 s_5 .. s_2 s_4 s_6 ..

That is the definition in the paper. Their code counts places from 0, so that it puts s_2 first: the same task but for
the order of its halves.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from data.checking import AtLeastOne
from episodes.algorithmic.tokens import StringTask, TokenStrings, draw_tokens


@dataclass(frozen=True)
class OddsFirst(StringTask):
    """Give the tokens at odd places first.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(OddsFirst(shortest=3, longest=3), batch=1)(0)
    >>> inputs[:3, 0].argmax(-1).tolist(), targets[mask].argmax(-1).tolist()
    ([0, 1, 0], [0, 0, 1])
    """

    vocabulary: AtLeastOne = 2
    """Tokens of the strings."""
    name: Literal["odds-first"] = field(default="odds-first", repr=False, kw_only=True)
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
        return TokenStrings(tokens, torch.cat([tokens[::2], tokens[1::2]]))
