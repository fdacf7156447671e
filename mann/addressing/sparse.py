"""Sparse access memory, Rae et al. 2016 (arXiv 1610.09027): reads over the K nearest slots, writes to few.

    read weights     w^r(i) = softmax of beta K[k, M(i)] over the K slots most similar to the key, 0 elsewhere
    write weights    w^w = alpha (gamma w^r_{t-1} + (1 - gamma) 1[least recently accessed])
    erase            the least recently accessed slot is set to zero before the write
    access           a slot was accessed if its weight, read or written, was above a threshold

Each head reads and writes; head j has the j-th least recently accessed slot, and emits a separate vector to add. Ties
(all slots, at the first step) go to the slot of lower index.

In a step each head accesses K slots by reading and one by writing, and of slots with equal content the first ones are
chosen; so most slots of a constant memory can never be accessed. A network keeps only the slots that the steps so far
can have accessed, `steps * heads * (K + 1)`, and one more, whose age is that of all the others. The cost of a step
grows with that number, up to all slots, and not with the number of slots of the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from data.checking import AtLeastOne
from mann.addressing.lrua import (
    initialise_pairs,
    least_used_slots,
    slot_for_each_head,
    strength_range,
    write_weights,
)
from mann.addressing.ranking import lowest
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity, inverse_length, negative_distance


class SparseState(NamedTuple):
    """The last reads, and the age of each slot.

    Attributes:
        read_weights: [batch, heads, slots].
        age: [batch, slots], steps since a slot was last accessed.
    """

    read_weights: Tensor
    age: Tensor


def slotwise_similarity(keys: Tensor, memory: Tensor, similarity: Similarity) -> Tensor:
    """The similarities of `mann.addressing.similarity`, summed for each slot separately; [batch, heads, slots].

    A matrix product rounds differently in different columns: slots with equal content would not tie.
    """
    if similarity == "euclidean":
        return negative_distance(keys, memory)
    if similarity == "cosine":
        keys = keys * inverse_length(keys)
    products = (keys.unsqueeze(2) * memory.unsqueeze(1)).sum(-1)
    return products * inverse_length(memory).mT if similarity == "cosine" else products


def nearest_slots(similarities: Tensor, count: int) -> Tensor:
    """The `count` most similar slots of each head, ties to the lower index; bool [batch, heads, slots]."""
    return torch.zeros_like(similarities, dtype=torch.bool).scatter(-1, lowest(-similarities, count), True)


def sparse_weights(similarities: Tensor, strengths: Tensor, count: int) -> Tensor:
    """Softmax of strength * similarity over the `count` most similar slots, exactly 0 elsewhere.

    >>> sparse_weights(torch.tensor([[[1.0, 3.0, 3.0]]]), torch.ones(1, 1, 1), 2)
    tensor([[[0.0000, 0.5000, 0.5000]]])
    """
    near = nearest_slots(similarities, count)
    # Masked before the softmax: exp(-inf) is 0 with a gradient of 0, and the others sum to 1.
    return torch.softmax((strengths * similarities).masked_fill(~near, -torch.inf), dim=-1)


def next_age(age: Tensor, read_weights: Tensor, write_weights: Tensor, threshold: float) -> Tensor:
    """0 where any head's weight is above the threshold, one more elsewhere. Returns [batch, slots]."""
    largest = torch.maximum(read_weights.amax(1), write_weights.amax(1))
    return (age + 1) * (largest <= threshold)


@dataclass(frozen=True)
class Sparse(Scheme[SparseState]):
    """Sparse access; see the module's docstring.

    >>> Sparse(read_heads=1, nearest=4).slots_in_reach(slots=1_000_000, steps=10)
    51
    """

    read_heads: AtLeastOne = 2
    """Heads; each reads and writes."""
    nearest: AtLeastOne = 4
    """Slots that a head reads (K; the paper: 4)."""
    key_strength: Annotated[float, Ge(0)] = 8.0
    """Similarities are multiplied by 1 + key_strength softplus(emitted)."""
    threshold: Annotated[float, Ge(0)] = 0.005
    """A larger weight is an access (the paper: 0.005)."""
    start: Literal["alike", "paired"] = "paired"
    """Initial heads: all at random, or in pairs: one writes, the other finds it and adds to it."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""
    name: Literal["sparse"] = field(default="sparse", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Keys and vectors in (-1, 1), gates in (0, 1), strengths >= 1."""
        return {
            "key": Control(self.read_heads, word_size, torch.tanh),
            "strength": Control(self.read_heads, 1, strength_range(self.key_strength)),
            "gate": Control(self.read_heads, 1, torch.sigmoid),
            "write_gate": Control(self.read_heads, 1, torch.sigmoid),
            "add": Control(self.read_heads, word_size, torch.tanh),
        }

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Start with heads that write, and in pairs if `start` selects it."""
        biases["write_gate"].fill_(2.0)
        if self.start == "paired":
            initialise_pairs(biases["gate"], weights["key"], weights["add"])

    def initial_state(self, memory: Tensor) -> SparseState:
        """Return zeros: nothing read, and all slots of the same age."""
        batch, slots, _ = memory.shape
        return SparseState(memory.new_zeros(batch, self.read_heads, slots), memory.new_zeros(batch, slots))

    def slots_in_reach(self, slots: int, steps: int, before: int = 0) -> int:
        """For each head and step, K slots that are read and one that is written; and one that is not accessed."""
        return min(slots, (before or 1) + steps * self.read_heads * (self.nearest + 1))

    def grow(self, state: SparseState, slots: int) -> SparseState:
        """Add slots that were never accessed, and so are as old as the oldest."""
        missing = slots - state.age.shape[-1]
        oldest = state.age.amax(-1, keepdim=True).expand(-1, missing)
        return SparseState(functional.pad(state.read_weights, (0, missing)), torch.cat([state.age, oldest], -1))

    def write(self, controls: Controls, memory: Tensor, state: SparseState) -> tuple[Write, SparseState]:
        """Write where the last read was, or to the least recently accessed slots."""
        # The largest age is the smallest negative age: the same ranking as for the least used slots.
        oldest = least_used_slots(-state.age, min(self.read_heads, memory.shape[1]))
        weights = write_weights(controls["gate"], state.read_weights, slot_for_each_head(oldest, self.read_heads))
        return Write(controls["write_gate"] * weights, 1 - oldest.sum(1, keepdim=True).mT, controls["add"]), state

    def read(self, controls: Controls, memory: Tensor, state: SparseState, write: Write) -> tuple[Tensor, SparseState]:
        """Read the nearest slots, and update the ages."""
        similarities = slotwise_similarity(controls["key"], memory, self.similarity)
        weights = sparse_weights(similarities, controls["strength"], min(self.nearest, memory.shape[1]))
        age = next_age(state.age, weights, write.weights, self.threshold)
        return weights, SparseState(weights, age.detach())
