"""What a network starts with: its memory, what it has read, and where its heads are."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mann.addressing.scheme import Scheme

CONSTANT = 1e-6
"""What every number of a constant memory is: the start that converges fastest (Collier and Beel 2018)."""

SPREAD = 0.5
"""Standard deviation of a random memory, cut off at two of them (Collier and Beel 2018)."""

StartingMemory = Literal["constant", "random", "learned"]
StartingHeads = Literal["plain", "learned"]


class Start(nn.Module):
    """The state of memory, reads and weightings before the first step.

    Args:
        scheme: How memory is addressed.
        slots, word_size: Of the memory.
        memory: "constant": 1e-6 everywhere, but for the scheme's sign at the left end. "random": drawn once with the
            weights and kept. "learned": starts from random numbers.
        heads: "plain": nothing read, or the sign at the left end of a constant memory; weightings as the scheme has
            them. "learned": what was read last is a parameter, which starts from that, and so are the weightings among
            the scheme's state (softmax of learned numbers), which start from random ones.
    """

    def __init__(
        self,
        scheme: Scheme,
        slots: int,
        word_size: int,
        memory: StartingMemory = "constant",
        heads: StartingHeads = "plain",
    ):
        super().__init__()
        self.scheme, self.slots, self.word_size = scheme, slots, word_size
        self.constant = memory == "constant"
        self.left_end = scheme.left_end if self.constant else 0.0
        if memory == "constant":
            # A number, not a tensor of slots: fewer of them may be made.
            self.memory = None
        else:
            values = nn.init.trunc_normal_(torch.empty(slots, word_size), std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)
            if memory == "learned":
                self.memory = nn.Parameter(values)
            else:
                self.register_buffer("memory", values)
        self.reads = nn.Parameter(self._unread(torch.empty(0))) if heads == "learned" else None
        self.weightings = nn.ParameterDict()
        if heads == "learned":
            first = scheme.initial_state(1, slots, torch.empty(0))
            for name in first._fields:
                if name.endswith("_weights"):
                    # Spread out a little: heads that start alike everywhere stay alike everywhere.
                    self.weightings[name] = nn.Parameter(torch.randn_like(getattr(first, name)[0]))

    def forward(self, batch: int, steps: int, like: Tensor) -> tuple[Tensor, Any, Tensor]:
        """Return the memory [batch, slots, word_size], the scheme's state and the reads [batch, heads * word_size].

        With a constant memory there may be fewer slots: those that `steps` steps can reach.
        """
        slots = self.scheme.slots_in_reach(self.slots, steps) if self._alike else self.slots
        addressing = self.scheme.initial_state(batch, slots, like)
        learned = {
            name: numbers.softmax(-1).to(like.dtype).expand(batch, -1, -1) for name, numbers in self.weightings.items()
        }
        size = (batch, slots, self.word_size)
        memory = self._blank(like, size) if self.memory is None else self.memory.to(like.dtype).expand(size)
        reads = self._unread(like) if self.reads is None else self.reads
        return (
            memory,
            addressing._replace(**learned) if learned else addressing,
            reads.to(like.dtype).expand(batch, -1),
        )

    @property
    def _alike(self) -> bool:
        """Whether all slots start alike."""
        return self.constant and not self.weightings

    def _blank(self, like: Tensor, size: tuple[int, int, int]) -> Tensor:
        """A constant memory, [batch, slots, word_size]."""
        memory = like.new_full(size, CONSTANT)
        if self.left_end:
            memory[:, 0, 0] = self.left_end
        return memory

    def _unread(self, like: Tensor) -> Tensor:
        """What heads have read that read nothing yet, [heads * word_size]."""
        reads = like.new_zeros(self.scheme.read_heads, self.word_size)
        reads[:, 0] = self.left_end
        return reads.flatten()

    def grown(self, memory: Tensor, addressing: Any, steps: int) -> tuple[Tensor, Any]:
        """Add the slots that `steps` more steps can reach to a state that went without them."""
        before = memory.shape[1]
        if before == self.slots:
            return memory, addressing
        slots = self.scheme.slots_in_reach(self.slots, steps, before)
        blank = memory.new_full((len(memory), slots - before, self.word_size), CONSTANT)
        return torch.cat([memory, blank], 1), self.scheme.grow(addressing, slots)


StartKind = Callable[[Scheme, int, int], Start]
"""Makes a start from (scheme, slots, word_size)."""
