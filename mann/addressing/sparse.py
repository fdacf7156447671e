"""Sparse access memory, Rae et al. 2016 (arXiv 1610.09027): reads over the K nearest slots, writes to few.

    read weights     w^r(i) = softmax of beta K[k, M(i)] over the K slots most like the key, 0 elsewhere
    write weights    w^w = alpha (gamma w^r_{t-1} + (1 - gamma) 1[least recently accessed])
    erase            the least recently accessed slot is set to zero before the write
    access           a slot was accessed when its weight, read or written, was above a threshold

Each head reads and writes; head j takes the j-th least recently accessed slot. What is written is a vector of its own.
Ties (all slots, at the first step) go to the slot of lower index.

In a step each head touches K slots by reading them and one by writing, and of slots that hold the same the first are
taken; so from a memory that holds the same everywhere most slots can never matter. No more slots are kept than the
steps so far could have touched, `steps * heads * (K + 1)`, and one more that shows how old the untouched ones are. The
cost of a step grows with that number, up to all slots, and not with the number of slots asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from mann.addressing.lrua import least_used_slots, start_in_pairs, strength_range, taking_turns, write_weights
from mann.addressing.ranking import lowest
from mann.addressing.scheme import AtLeastOne, Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity, inverse_length, negative_distance


class State(NamedTuple):
    """read_weights: [batch, heads, slots]; age: [batch, slots], steps since a slot was last accessed."""

    read_weights: Tensor
    age: Tensor


def slot_by_slot(keys: Tensor, memory: Tensor, similarity: Similarity) -> Tensor:
    """The similarities of `mann.addressing.similarity`, each slot's sum taken alone; [batch, heads, slots].

    A matrix product rounds differently in different columns: slots that hold the same would not tie.
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
    """Softmax of strength * similarity over the `count` most similar slots, exactly 0 elsewhere."""
    near = nearest_slots(similarities, count)
    return torch.softmax((strengths * similarities).masked_fill(~near, -torch.inf), dim=-1)


def next_age(age: Tensor, read_weights: Tensor, write_weights: Tensor, threshold: float) -> Tensor:
    """0 where any head's weight is above the threshold, one more elsewhere. Returns [batch, slots]."""
    largest = torch.maximum(read_weights.amax(1), write_weights.amax(1))
    return (age + 1) * (largest <= threshold)


@dataclass(frozen=True)
class Sparse(Scheme):
    """Sparse access; see the module's docstring."""

    read_heads: AtLeastOne = 2
    """Heads; each reads and writes."""
    nearest: AtLeastOne = 4
    """Slots that a head reads (K; the paper: 4)."""
    key_strength: Annotated[float, Ge(0)] = 8.0
    """Similarities are multiplied by 1 + key_strength softplus(emitted)."""
    threshold: Annotated[float, Ge(0)] = 0.005
    """A larger weight is an access (the paper: 0.005)."""
    start: Literal["alike", "paired"] = "paired"
    """Heads start at random, or in pairs: one writes, the other finds it and adds to it."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""

    def controls(self, word_size: int) -> dict[str, Control]:
        """Keys and vectors in (-1, 1), gates in (0, 1), strengths >= 1."""
        return {
            "key": Control(self.read_heads, word_size, torch.tanh),
            "strength": Control(self.read_heads, 1, strength_range(self.key_strength)),
            "gate": Control(self.read_heads, 1, torch.sigmoid),
            "write_gate": Control(self.read_heads, 1, torch.sigmoid),
            "add": Control(self.read_heads, word_size, torch.tanh),
        }

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Let heads start in pairs, and by writing."""
        biases["write_gate"].fill_(2.0)
        if self.start == "paired":
            start_in_pairs(biases["gate"], weights["key"], weights["add"])

    def initial_state(self, batch: int, slots: int, like: Tensor) -> State:
        """Nothing read, nothing accessed."""
        return State(like.new_zeros(batch, self.read_heads, slots), like.new_zeros(batch, slots))

    def slots_in_reach(self, slots: int, steps: int, before: int = 0) -> int:
        """K that are read and one that is written, for each head and step."""
        return min(slots, (before or 1) + steps * self.read_heads * (self.nearest + 1))

    def grow(self, state: State, slots: int) -> State:
        """Add slots that were never accessed, and so are as old as any."""
        missing = slots - state.age.shape[-1]
        oldest = state.age.amax(-1, keepdim=True).expand(-1, missing)
        return State(functional.pad(state.read_weights, (0, missing)), torch.cat([state.age, oldest], -1))

    def write(self, controls: Controls, memory: Tensor, state: State) -> tuple[Write, State]:
        """Write to where the last read was, or to the least recently accessed slots."""
        oldest = least_used_slots(-state.age, min(self.read_heads, memory.shape[1]))
        weights = write_weights(controls["gate"], state.read_weights, taking_turns(oldest, self.read_heads))
        return Write(controls["write_gate"] * weights, 1 - oldest.sum(1, keepdim=True).mT, controls["add"]), state

    def read(self, controls: Controls, memory: Tensor, state: State, write: Write) -> tuple[Tensor, State]:
        """Read the nearest slots; note what was accessed."""
        similarities = slot_by_slot(controls["key"], memory, self.similarity)
        weights = sparse_weights(similarities, controls["strength"], min(self.nearest, memory.shape[1]))
        return weights, State(weights, next_age(state.age, weights, write.weights, self.threshold).detach())
