"""Gated slots: each slot forgets as much as it takes in (Zhang et al. 2024, arXiv 2409.07146).

    gate     a(i) = sigmoid(f(i))^(1/8)
    write    K(i) = a(i) K(i) + (1 - a(i)) k,   V(i) = a(i) V(i) + (1 - a(i)) v
    read     r = [K, V]^T softmax(K q)

A word of the memory is [key, value]: its first half, rounded up, is the key. So the write weights are 1 - a, the
memory is kept by a, and the read is by the dot product with the first half of each word. There is one write head; all
heads read. A share of the key is the last query of the first head (`follow`, see `mann.addressing.keys`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from data.checking import AtLeastOne
from mann.addressing.keys import bound_key, follow_at_first
from mann.addressing.scheme import Control, Controls, Scheme, Write, identity
from mann.addressing.similarity import content_weights

ROOT: Final = 8
"""The gate is the eighth root of a sigmoid: at first a slot keeps 0.92 of its content in a step."""


class GatedSlotsState(NamedTuple):
    """The first head's query of the last step.

    Attributes:
        query: [batch, 1, key_size].
    """

    query: Tensor


def key_size(word_size: int) -> int:
    """Numbers of a word [key, value] that are its key: half of them, rounded up."""
    return (word_size + 1) // 2


def gate(emitted: Tensor) -> Tensor:
    """A = sigmoid(f)^(1/8)."""
    return torch.exp(functional.logsigmoid(emitted) / ROOT)


def bound_word(word: Tensor, follow: Tensor, last_query: Tensor) -> Tensor:
    """Return words [batch, heads, word_size] with a share of their keys moved to the last query."""
    size = last_query.shape[-1]
    return torch.cat([bound_key(word[..., :size], follow, last_query), word[..., size:]], -1)


@dataclass(frozen=True)
class GatedSlots(Scheme[GatedSlotsState]):
    """Gated slots; see the module's docstring.

    >>> sorted(GatedSlots(follow=False).controls(word_size=20, slots=64))
    ['gate', 'query', 'word']
    """

    read_heads: AtLeastOne = 2
    """Read heads; one head writes."""
    follow: bool = True
    """Bind values to the last query: a share of the key that the controller emits."""
    name: Literal["gated-slots"] = field(default="gated-slots", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Words in (-1, 1), before their keys follow a query; queries of any size, gates in (0, 1)."""
        controls = {
            "word": Control(1, word_size, torch.tanh),
            "query": Control(self.read_heads, key_size(word_size), identity),
            "gate": Control(1, slots, gate),
        }
        if self.follow:
            controls["follow"] = Control(1, 1, torch.sigmoid)
        return controls

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Start with keys that follow the last query."""
        follow_at_first(biases)

    def initial_state(self, memory: Tensor) -> GatedSlotsState:
        """Return a query of zeros."""
        return GatedSlotsState(memory.new_zeros(len(memory), 1, key_size(memory.shape[-1])))

    def write(self, controls: Controls, memory: Tensor, state: GatedSlotsState) -> tuple[Write, GatedSlotsState]:
        """Write the same word to all slots, to each by as much as it forgets."""
        word = controls["word"]
        if self.follow:
            word = bound_word(word, controls["follow"], state.query)
        gates = controls["gate"]
        return Write(1 - gates, gates.mT, word), GatedSlotsState(controls["query"][:, :1])

    def read(
        self, controls: Controls, memory: Tensor, state: GatedSlotsState, write: Write
    ) -> tuple[Tensor, GatedSlotsState]:
        """Read by the products of queries and keys."""
        keys = memory[..., : key_size(memory.shape[-1])]
        return content_weights(controls["query"], 1.0, keys, "dot"), state
