"""Parity (Deletang et al. 2022, `parity_check`): whether the number of ones in a string of bits is odd.

question   b_1 .. b_n
answer     (b_1 + .. + b_n) mod 2, one token
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from episodes.algorithmic.tokens import StringTask, TokenStrings, draw_tokens


@dataclass(frozen=True)
class Parity(StringTask):
    """Parity of a string of bits.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(Parity(shortest=3, longest=3), batch=1)(0)
    >>> inputs[:, 0].argmax(-1).tolist(), targets[mask].argmax(-1).tolist()  # token 2 is the empty one
    ([0, 1, 0, 2], [1])
    """

    name: Literal["parity"] = field(default="parity", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    @property
    def question_tokens(self) -> int:
        """Tokens of a question."""
        return 2

    @property
    def output_size(self) -> int:
        """Tokens of an answer."""
        return 2

    def strings(self, length: int, batch: int, generator: torch.Generator) -> TokenStrings:
        """See `StringTask`."""
        bits = draw_tokens(2, length, batch, generator=generator)
        return TokenStrings(bits, bits.sum(0, keepdim=True) % 2)
