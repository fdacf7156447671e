"""The initial state of a network: the content of its memory, what it has read, and the weightings of its heads."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from mann.addressing.scheme import Scheme, State
from mann.settings.schema import InitialHeads, InitialMemory

CONSTANT: Final = 1e-6
"""Every number of a constant memory: the initialisation that converges fastest (Collier and Beel 2018)."""

SPREAD: Final = 0.5
"""Standard deviation of a random memory, truncated at two of them (Collier and Beel 2018)."""


class InitialState(nn.Module):
    """Memory, reads and weightings before the first step.

    >>> from mann import NTM
    >>> initial = InitialState(NTM(), slots=16, word_size=4, memory="learned")
    >>> memory, addressing, reads = initial(batch=2, steps=10, like=torch.zeros(0))
    >>> memory.shape, reads.shape
    (torch.Size([2, 16, 4]), torch.Size([2, 4]))

    Args:
        scheme: The addressing scheme.
        slots: Memory locations (N).
        word_size: Numbers in a location (W).
        memory: "constant": 1e-6 everywhere, except for the scheme's start marker. "random": drawn once with the weights
            and kept. "learned": a parameter, at first random.
        heads: "plain": reads of zeros, or of the start marker of a constant memory; weightings as the scheme has them.
            "learned": the reads are a parameter, at first the same; the weightings in the scheme's state are softmaxes
            of parameters, at first random.
    """

    def __init__(
        self,
        scheme: Scheme,
        slots: int,
        word_size: int,
        memory: InitialMemory = "constant",
        heads: InitialHeads = "plain",
    ):
        super().__init__()
        self.scheme, self.slots, self.word_size = scheme, slots, word_size
        self.constant = memory == "constant"
        self.start_marker = scheme.start_marker if self.constant else 0.0
        if memory == "constant":
            # Not a tensor of all slots: a network may make only those that a sequence can reach.
            self.memory = None
        else:
            values = nn.init.trunc_normal_(torch.empty(slots, word_size), std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)
            if memory == "learned":
                self.memory = nn.Parameter(values)
            else:
                self.register_buffer("memory", values)
        self.reads = nn.Parameter(self._plain_reads(torch.empty(0))) if heads == "learned" else None
        self.weightings = nn.ParameterDict()
        if heads == "learned":
            first = scheme.initial_state(torch.empty(1, slots, word_size))
            for name in first._fields:
                if name.endswith("_weights"):
                    # Random: weightings that are equal for all slots stay so in a constant memory.
                    self.weightings[name] = nn.Parameter(torch.randn_like(getattr(first, name)[0]))

    def forward(self, batch: int, steps: int, like: Tensor) -> tuple[Tensor, Any, Tensor]:
        """Return the memory [batch, slots, word_size], the scheme's state and the reads [batch, heads * word_size].

        With a constant memory there may be fewer slots: those that `steps` steps can reach.
        """
        slots = self.scheme.slots_in_reach(self.slots, steps) if self._equal_slots else self.slots
        size = (batch, slots, self.word_size)
        memory = self._constant_memory(like, size) if self.memory is None else self.memory.to(like.dtype).expand(size)
        addressing = self.scheme.initial_state(memory)
        learned = {
            name: numbers.softmax(-1).to(like.dtype).expand(batch, -1, -1) for name, numbers in self.weightings.items()
        }
        reads = self._plain_reads(like) if self.reads is None else self.reads
        return (
            memory,
            addressing._replace(**learned) if learned else addressing,
            reads.to(like.dtype).expand(batch, -1),
        )

    @property
    def _equal_slots(self) -> bool:
        """Whether all slots are equal before the first step."""
        return self.constant and len(self.weightings) == 0

    def _constant_memory(self, like: Tensor, size: tuple[int, int, int]) -> Tensor:
        """Return a constant memory, [batch, slots, word_size], with the start marker."""
        memory = like.new_full(size, CONSTANT)
        if self.start_marker:
            memory[:, 0, 0] = self.start_marker
        return memory

    def _plain_reads(self, like: Tensor) -> Tensor:
        """Return the reads before the first step, [heads * word_size]: zeros, with the start marker."""
        reads = like.new_zeros(self.scheme.read_heads, self.word_size)
        reads[:, 0] = self.start_marker
        return reads.flatten()

    def grow(self, memory: Tensor, addressing: State, steps: int) -> tuple[Tensor, State]:
        """Return a memory and a scheme's state with the slots added that `steps` further steps can reach."""
        before = memory.shape[1]
        if before == self.slots:
            return memory, addressing
        slots = self.scheme.slots_in_reach(self.slots, steps, before)
        added = memory.new_full((len(memory), slots - before, self.word_size), CONSTANT)
        return torch.cat([memory, added], 1), self.scheme.grow(addressing, slots)


InitialStateKind = Callable[[Scheme, int, int], InitialState]
"""Makes an initial state from (scheme, slots, word_size)."""
