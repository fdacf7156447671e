"""The Neural Turing Machine without location: each head points where the content is like its key, and nowhere else.

    w(i) = softmax_i( beta K[k, M(i)] )

Slots that hold the same are read and written alike: in a constant memory no slot can ever differ from another, so a
network with this scheme has to start with a random or learned memory.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from mann.addressing.ntm import content_address, content_controls, erase_and_add, writing_controls
from mann.addressing.scheme import AtLeastOne, Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity


class State(NamedTuple):
    """Nothing: a weighting depends on this step alone."""


@dataclass(frozen=True)
class Content(Scheme):
    """NTM without location; see the module's docstring."""

    read_heads: AtLeastOne = 1
    """Read heads."""
    write_heads: AtLeastOne = 1
    """Write heads."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""

    def controls(self, word_size: int) -> dict[str, Control]:
        """Key and strength for each head; erase and add for each write head."""
        return {
            **content_controls("write", self.write_heads, word_size),
            **writing_controls(self.write_heads, word_size),
            **content_controls("read", self.read_heads, word_size),
        }

    def initial_state(self, batch: int, slots: int, like: Tensor) -> State:
        """Nothing to remember."""
        return State()

    def write(self, controls: Controls, memory: Tensor, state: State) -> tuple[Write, State]:
        """Write where the content is like the write key."""
        return erase_and_add(controls, content_address(controls, "write", memory, self.similarity)), state

    def read(self, controls: Controls, memory: Tensor, state: State, write: Write) -> tuple[Tensor, State]:
        """Read where the content is like the read key."""
        return content_address(controls, "read", memory, self.similarity), state
