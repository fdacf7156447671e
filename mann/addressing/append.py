"""Attention over what was written: every step is appended with its key, and read by the softmax of dot products.

    write    the slot of step t is t mod N: it is erased, and the word [k, v] is written to it
    read     r = [K, V]^T softmax(K q / sqrt d),   over the slots written so far

This is the cache of one attention layer with a window of N steps (Vaswani et al. 2017, arXiv 1706.03762), with one head
of keys and values for all queries and without positions: within the window nothing is overwritten. A word of the memory
is [key, value]: its first half, rounded up, is the key, of d numbers. There is one write head; all heads read. A share
of the key is the last query of the first head (`follow`, see `mann.addressing.keys`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from data.checking import AtLeastOne
from mann.addressing.gated_slots import bound_word, key_size
from mann.addressing.keys import follow_at_first
from mann.addressing.ntm import first_slot
from mann.addressing.scheme import Control, Controls, Scheme, Write, identity
from mann.addressing.similarity import dot_product


class AppendState(NamedTuple):
    """Where the next step is written, where steps were written, and the first head's query of the last step.

    Attributes:
        next_slot: [batch, slots], one-hot.
        written: [batch, slots], 1 for the slots that were written.
        query: [batch, 1, key_size].
    """

    next_slot: Tensor
    written: Tensor
    query: Tensor


def attention(queries: Tensor, keys: Tensor, written: Tensor) -> Tensor:
    """Softmax of q . k / sqrt d over the written slots, 0 elsewhere, and everywhere if none was written.

    queries: [batch, heads, d]; keys: [batch, slots, d]; written: [batch, slots], 0 or 1. Returns [batch, heads, slots].

    >>> attention(torch.ones(1, 1, 4), torch.ones(1, 3, 4), torch.tensor([[1.0, 1.0, 0.0]]))
    tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    scores = dot_product(queries, keys) / math.sqrt(keys.shape[-1])
    present = written.unsqueeze(1)
    # A finite number, not -inf: where no slot was written the softmax would be NaN, and its gradient too.
    lowest = torch.finfo(scores.dtype).min
    return torch.softmax(scores.masked_fill(present == 0, lowest), -1) * present


@dataclass(frozen=True)
class Append(Scheme[AppendState]):
    """Attention over the last steps, as many as the memory has slots; see the module's docstring.

    >>> Append(read_heads=4).controls(word_size=20, slots=64)["query"].size
    10
    """

    read_heads: AtLeastOne = 2
    """Read heads; one head writes."""
    follow: bool = True
    """Bind values to the last query: a share of the key that the controller emits."""
    name: Literal["append"] = field(default="append", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Words and queries of any size."""
        controls = {
            "word": Control(1, word_size, identity),
            "query": Control(self.read_heads, key_size(word_size), identity),
        }
        if self.follow:
            controls["follow"] = Control(1, 1, torch.sigmoid)
        return controls

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Start with keys that follow the last query."""
        follow_at_first(biases)

    def initial_state(self, memory: Tensor) -> AppendState:
        """Return the first slot as the next, and nothing written."""
        batch, slots, word_size = memory.shape
        unwritten = memory.new_zeros(batch, slots)
        return AppendState(first_slot(memory, 1)[:, 0], unwritten, memory.new_zeros(batch, 1, key_size(word_size)))

    def write(self, controls: Controls, memory: Tensor, state: AppendState) -> tuple[Write, AppendState]:
        """Write to the next slot, instead of what it had."""
        word = controls["word"]
        if self.follow:
            word = bound_word(word, controls["follow"], state.query)
        weights = state.next_slot.unsqueeze(1)
        after = AppendState(
            state.next_slot.roll(1, -1), torch.maximum(state.written, state.next_slot), controls["query"][:, :1]
        )
        return Write(weights, 1 - weights.mT, word), after

    def read(self, controls: Controls, memory: Tensor, state: AppendState, write: Write) -> tuple[Tensor, AppendState]:
        """Read the steps whose keys are similar to the queries."""
        return attention(controls["query"], memory[..., : key_size(memory.shape[-1])], state.written), state
