"""The Neural Turing Machine without content: each head moves relative to its last position, like the head of a tape.

    shift          w~(i) = sum_j w_{t-1}(j) s(i - j mod N)                        Graves et al. 2014, equation 8
    sharpening     w(i) = w~(i)^gamma / sum_j w~(j)^gamma                         equation 9

All heads start at the first slot, unless the network learns their initial weightings.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor

from data.checking import AtLeastOne
from mann.addressing.ntm import (
    NTMState,
    erase_and_add,
    first_slot,
    location_address,
    location_controls,
    writing_controls,
)
from mann.addressing.scheme import Control, Controls, Scheme, Write


@dataclass(frozen=True)
class Location(Scheme[NTMState]):
    """NTM without content; see the module's docstring.

    >>> Location(shift_range=2).controls(word_size=20, slots=128)["read_shift"].size
    5
    """

    read_heads: AtLeastOne = 1
    """Read heads."""
    write_heads: AtLeastOne = 1
    """Write heads."""
    shift_range: Annotated[int, Ge(0)] = 1
    """Largest shift in a step (S)."""
    name: Literal["location"] = field(default="location", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Shift and sharpening for each head; erase and add for each write head."""
        return {
            **location_controls("write", self.write_heads, self.shift_range),
            **writing_controls(self.write_heads, word_size),
            **location_controls("read", self.read_heads, self.shift_range),
        }

    def initial_state(self, memory: Tensor) -> NTMState:
        """Return weightings of the first slot for all heads."""
        read, write = (first_slot(memory, heads) for heads in (self.read_heads, self.write_heads))
        return NTMState(read, write)

    def write(self, controls: Controls, memory: Tensor, state: NTMState) -> tuple[Write, NTMState]:
        """Move the write heads, and write."""
        weights = location_address(controls, "write", state.write_weights)
        return erase_and_add(controls, weights), state._replace(write_weights=weights)

    def read(self, controls: Controls, memory: Tensor, state: NTMState, write: Write) -> tuple[Tensor, NTMState]:
        """Move the read heads, and read."""
        weights = location_address(controls, "read", state.read_weights)
        return weights, state._replace(read_weights=weights)
