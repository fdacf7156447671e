"""A hybrid: reads with the NTM's full addressing, writes to the least recently used slots.

    read weights     w^r_t     content, interpolation, shift and sharpening (Graves et al. 2014, section 3.3)
    write weights    w^w_t = sigma(alpha) w^r_{t-1} + (1 - sigma(alpha)) w^lu_{t-1}   (Santoro et al. 2016, section 3.2)

Each head reads and writes. Head j has the j-th least used slot; the n least used slots are set to zero before the
write; each head emits a separate vector to add. See `ntm` and `lrua` for the equations, and `lrua` for heads in pairs.
Reads start at zero: nothing has been read, and sharpening normalises the first weighting to a sum of 1 all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from data.checking import AtLeastOne
from mann.addressing.lrua import (
    LRUAState,
    initialise_pairs,
    least_used_slots,
    next_usage,
    slot_for_each_head,
    strength_range,
    write_weights,
)
from mann.addressing.ntm import address, head_controls
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity


@dataclass(frozen=True)
class NTMLRU(Scheme[LRUAState]):
    """NTM reads, least recently used writes; see the module's docstring.

    >>> sorted(NTMLRU().controls(word_size=20, slots=128))
    ['add', 'read_gate', 'read_key', 'read_sharpening', 'read_shift', 'read_strength', 'write_gate']
    """

    read_heads: AtLeastOne = 2
    """Heads; each reads and writes."""
    key_strength: Annotated[float, Ge(0)] = 8.0
    """Similarities are multiplied by 1 + key_strength softplus(emitted)."""
    shift_range: Annotated[int, Ge(0)] = 1
    """Largest shift of a read in a step (S)."""
    usage_decay: Annotated[float, Ge(0), Le(1)] = 0.99
    """gamma: the share of the usage that is left after a step."""
    start: Literal["alike", "paired"] = "paired"
    """Initial heads: all at random, or in pairs: one writes, the other finds it and adds to it."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""
    name: Literal["ntm-lru"] = field(default="ntm-lru", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """For each head the NTM's controls for reading, the write gate, and the vector to add."""
        return {
            **head_controls("read", self.read_heads, word_size, self.shift_range),
            "read_strength": Control(self.read_heads, 1, strength_range(self.key_strength)),
            "write_gate": Control(self.read_heads, 1, torch.sigmoid),
            "add": Control(self.read_heads, word_size, torch.tanh),
        }

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Start with reads by content and without a shift, and with heads in pairs if `start` selects it."""
        biases["read_gate"].fill_(2.0)
        biases["read_shift"][:, self.shift_range] = 2.0
        if self.start == "paired":
            initialise_pairs(biases["write_gate"], weights["read_key"], weights["add"])

    def initial_state(self, memory: Tensor) -> LRUAState:
        """Return zeros: nothing read, nothing used."""
        batch, slots, _ = memory.shape
        return LRUAState(memory.new_zeros(batch, self.read_heads, slots), memory.new_zeros(batch, slots))

    def write(self, controls: Controls, memory: Tensor, state: LRUAState) -> tuple[Write, LRUAState]:
        """Write where the last read was, or to the least used slots."""
        ranked = least_used_slots(state.usage, min(self.read_heads, memory.shape[1]))
        least = slot_for_each_head(ranked, self.read_heads)
        weights = write_weights(controls["write_gate"], state.read_weights, least)
        return Write(weights, 1 - ranked.sum(1, keepdim=True).mT, controls["add"]), state

    def read(self, controls: Controls, memory: Tensor, state: LRUAState, write: Write) -> tuple[Tensor, LRUAState]:
        """Read by content and location; reads and writes count as usage."""
        weights = address(controls, "read", memory, state.read_weights, self.similarity)
        usage = next_usage(state.usage, self.usage_decay, weights, write.weights)
        # Without gradient, as in `lrua`: usage is only ranked.
        return weights, LRUAState(weights, usage.detach())
