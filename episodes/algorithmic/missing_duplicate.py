"""Missing duplicate (Deletang et al. 2022, `missing_duplicate_string`): the token that is masked in a doubled string.

    question   s_1 .. s_m s_1 .. s_m, one of its tokens replaced by 2; m is half the length
    answer     that token

A string of odd length ends with a token 3. A string of length 1 has no halves: it is the token 1, and so is its answer,
as in their code.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch.nn import functional

from episodes.algorithmic.tokens import StringTask, TokenStrings, draw_tokens

MASKED: Final = 2
"""The token in place of the missing one."""
FILLER: Final = 3
"""The last token of a string of odd length."""


@dataclass(frozen=True)
class MissingDuplicate(StringTask):
    """Find the token that is masked in one of two equal halves.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(MissingDuplicate(shortest=5, longest=5), batch=1)(0)
    >>> inputs[:5, 0].argmax(-1).tolist(), targets[mask].argmax(-1).tolist()
    ([0, 1, 2, 1, 3], [0])
    """

    name: Literal["missing-duplicate"] = field(default="missing-duplicate", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    @property
    def question_tokens(self) -> int:
        """Tokens of a question."""
        return 4

    @property
    def output_size(self) -> int:
        """Tokens of an answer."""
        return 2

    def strings(self, length: int, batch: int, generator: torch.Generator) -> TokenStrings:
        """See `StringTask`."""
        if length == 1:
            ones = torch.ones(1, batch, dtype=torch.int64, device=generator.device)
            return TokenStrings(ones, ones)
        doubled = draw_tokens(2, length // 2, batch, generator=generator).repeat(2, 1)
        place = draw_tokens(len(doubled), 1, batch, generator=generator)
        masked = doubled.scatter(0, place, MASKED)
        return TokenStrings(functional.pad(masked, (0, 0, 0, length % 2), value=FILLER), doubled.gather(0, place))
