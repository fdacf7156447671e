"""The Neural Turing Machine without content: each head moves from where it is, like the head of a tape.

    shift          w~(i) = sum_j w_{t-1}(j) s(i - j mod N)
    sharpening     w(i) = w~(i)^gamma / sum_j w~(j)^gamma

All heads start at the first slot, unless the network learns where.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from mann.addressing.ntm import (
    State,
    erase_and_add,
    first_slot,
    location_address,
    location_controls,
    writing_controls,
)
from mann.addressing.scheme import AtLeastOne, Control, Controls, Scheme, Write


@dataclass(frozen=True)
class Location(Scheme):
    """NTM without content; see the module's docstring."""

    read_heads: AtLeastOne = 1
    """Read heads."""
    write_heads: AtLeastOne = 1
    """Write heads."""
    shift_range: Annotated[int, Ge(0)] = 1
    """Farthest shift in a step (S)."""

    def controls(self, word_size: int) -> dict[str, Control]:
        """Shift and sharpening for each head; erase and add for each write head."""
        return {
            **location_controls("write", self.write_heads, self.shift_range),
            **writing_controls(self.write_heads, word_size),
            **location_controls("read", self.read_heads, self.shift_range),
        }

    def initial_state(self, batch: int, slots: int, like: Tensor) -> State:
        """All heads at the first slot."""
        return State(first_slot(batch, self.read_heads, slots, like), first_slot(batch, self.write_heads, slots, like))

    def write(self, controls: Controls, memory: Tensor, state: State) -> tuple[Write, State]:
        """Move the write heads, and write."""
        weights = location_address(controls, "write", state.write_weights)
        return erase_and_add(controls, weights), state._replace(write_weights=weights)

    def read(self, controls: Controls, memory: Tensor, state: State, write: Write) -> tuple[Tensor, State]:
        """Move the read heads, and read."""
        weights = location_address(controls, "read", state.read_weights)
        return weights, state._replace(read_weights=weights)
