"""The hybrid that this project is named for: reads with the NTM's full addressing, least recently used writes.

    read weights     w^r_t     content, interpolation, shift and sharpening (Graves et al. 2014, section 3.3)
    write weights    w^w_t = sigma(alpha) w^r_{t-1} + (1 - sigma(alpha)) w^lu_{t-1}   (Santoro et al. 2016, section 3.2)

Each head reads and writes. Head j takes the j-th least used slot; the n least used slots are set to zero before the
write; what is written is a vector of its own. See `ntm` and `lrua` for the equations, and `lrua` for heads in pairs.
Reads start at zero: nothing has been read, and the writes do not depend on where they start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from mann.addressing.lrua import (
    State,
    least_used_slots,
    next_usage,
    start_in_pairs,
    strength_range,
    taking_turns,
    write_weights,
)
from mann.addressing.ntm import address, head_controls
from mann.addressing.scheme import AtLeastOne, Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity


@dataclass(frozen=True)
class NTMLRU(Scheme):
    """NTM reads, least recently used writes; see the module's docstring."""

    read_heads: AtLeastOne = 2
    """Heads; each reads and writes."""
    key_strength: Annotated[float, Ge(0)] = 8.0
    """Similarities are multiplied by 1 + key_strength softplus(emitted)."""
    shift_range: Annotated[int, Ge(0)] = 1
    """Farthest shift of a read in a step (S)."""
    usage_decay: Annotated[float, Ge(0), Le(1)] = 0.99
    """How much of the usage is left after a step."""
    start: Literal["alike", "paired"] = "paired"
    """Heads start at random, or in pairs: one writes, the other finds it and adds to it."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""

    def controls(self, word_size: int) -> dict[str, Control]:
        """For each head the NTM's controls for reading, the write gate, and the vector to add."""
        return {
            **head_controls("read", self.read_heads, word_size, self.shift_range),
            "read_strength": Control(self.read_heads, 1, strength_range(self.key_strength)),
            "write_gate": Control(self.read_heads, 1, torch.sigmoid),
            "add": Control(self.read_heads, word_size, torch.tanh),
        }

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Let heads start in pairs, reading by content and without a shift."""
        biases["read_gate"].fill_(2.0)
        biases["read_shift"][:, self.shift_range] = 2.0
        if self.start == "paired":
            start_in_pairs(biases["write_gate"], weights["read_key"], weights["add"])

    def initial_state(self, batch: int, slots: int, like: Tensor) -> State:
        """Nothing read, nothing used."""
        return State(like.new_zeros(batch, self.read_heads, slots), like.new_zeros(batch, slots))

    def write(self, controls: Controls, memory: Tensor, state: State) -> tuple[Write, State]:
        """Write to where the last read was, or to the least used slots."""
        ranked = least_used_slots(state.usage, min(self.read_heads, memory.shape[1]))
        least = taking_turns(ranked, self.read_heads)
        weights = write_weights(controls["write_gate"], state.read_weights, least)
        return Write(weights, 1 - ranked.sum(1, keepdim=True).mT, controls["add"]), state

    def read(self, controls: Controls, memory: Tensor, state: State, write: Write) -> tuple[Tensor, State]:
        """Read by content and location; count the read and the write as use."""
        weights = address(controls, "read", memory, state.read_weights, self.similarity)
        usage = next_usage(state.usage, self.usage_decay, weights, write.weights)
        return weights, State(weights, usage.detach())
