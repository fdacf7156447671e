"""Stack manipulation (Deletang et al. 2022): a stack after some actions, from its top to its bottom.

    question   the stack, bits from the bottom to the top, then actions; 2: pop, 3: push 0, 4: push 1
    answer     the bits of the stack from the top to the bottom, then 2, the end

A question of n tokens has a stack of 1 to n - 1 bits, each size equally likely in each sequence; a single token is a
stack without actions. An empty stack stays empty when popped. The answer has n + 1 steps; those after the end do not
count. In their code they do not count for the accuracy, but the loss of the training has a 0 for each of them.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor

from episodes.algorithmic.tokens import StringTask, TokenStrings, draw_tokens

POP: Final = 2
"""The action that removes the top; the pushes follow it."""
END: Final = 2
"""The answer after the bottom of the stack."""


@dataclass(frozen=True)
class StackManipulation(StringTask):
    """Push to a stack and pop from it, then read it.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(StackManipulation(shortest=5, longest=5), batch=1)(0)
    >>> inputs[:5, 0].argmax(-1).tolist(), targets[mask].argmax(-1).tolist()
    ([0, 1, 0, 4, 4], [1, 1, 0, 1, 0, 2])
    """

    name: Literal["stack-manipulation"] = field(default="stack-manipulation", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    @property
    def question_tokens(self) -> int:
        """Tokens of a question."""
        return 5

    @property
    def output_size(self) -> int:
        """Tokens of an answer."""
        return 3

    def strings(self, length: int, batch: int, generator: torch.Generator) -> TokenStrings:
        """See `StringTask`."""
        places = torch.arange(length, device=generator.device)[:, None]
        bits = draw_tokens(2, length, batch, generator=generator)
        if length == 1:
            return _answered(bits, bits)
        sizes = 1 + draw_tokens(length - 1, batch, generator=generator)
        actions = POP + draw_tokens(3, length, batch, generator=generator)
        in_stack = places < sizes
        # The bits of the first stack are pushed like the others.
        pushed = torch.where(in_stack, bits, actions - POP - 1)
        return _answered(torch.where(in_stack, bits, actions), pushed)


def _answered(question: Tensor, pushed: Tensor) -> TokenStrings:
    """Return the question with the stack that is left; pushed: [length, batch], the bit of each push, -1 for a pop."""
    length, batch = pushed.shape
    stack, height = pushed.new_zeros(length + 1, batch), pushed.new_zeros(1, batch)
    for bit in pushed.split(1):  # one action after the other, for all sequences
        # A pop writes above the top, where nothing is read before the next push.
        stack = stack.scatter(0, height, bit)
        height = (height + torch.where(bit < 0, -1, 1)).clamp(min=0)
    places = torch.arange(length + 1, device=pushed.device)[:, None]
    answer = stack.gather(0, (height - 1 - places).clamp(min=0))
    answer = torch.where(places < height, answer, torch.where(places == height, END, 0))
    return TokenStrings(question, answer, places <= height)
