"""Cycle navigation (Deletang et al. 2022): the position on a circle of five after a walk of single steps.

question   a_1 .. a_n; 0: a step to the left, 1: stay, 2: a step to the right
answer     (a_1 - 1 + .. + a_n - 1) mod 5, one token; the walk starts at 0
"""

from dataclasses import dataclass, field
from typing import Final, Literal

import torch

from episodes.algorithmic.tokens import StringTask, TokenStrings, draw_tokens

POSITIONS: Final = 5
"""Positions on the circle."""


@dataclass(frozen=True)
class CycleNavigation(StringTask):
    """Walk on a circle.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(CycleNavigation(shortest=3, longest=3), batch=1)(0)
    >>> inputs[:, 0].argmax(-1).tolist(), targets[mask].argmax(-1).tolist()  # token 3 is the empty one
    ([0, 0, 0, 3], [2])
    """

    name: Literal["cycle-navigation"] = field(default="cycle-navigation", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    @property
    def question_tokens(self) -> int:
        """Tokens of a question."""
        return 3

    @property
    def output_size(self) -> int:
        """Tokens of an answer."""
        return POSITIONS

    def strings(self, length: int, batch: int, generator: torch.Generator) -> TokenStrings:
        """See `StringTask`."""
        moves = draw_tokens(3, length, batch, generator=generator)
        return TokenStrings(moves, (moves - 1).sum(0, keepdim=True) % POSITIONS)
