"""The Neural Turing Machine without location: each head addresses the slots whose content is similar to its key.

    content        w(i) = softmax_i( beta K[k, M(i)] )                            Graves et al. 2014, equation 5

Slots with equal content are read and written equally, so in a constant memory no slot can ever differ from another: a
network with this scheme needs a random or a learned initial memory.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from torch import Tensor

from data.checking import AtLeastOne
from mann.addressing.ntm import content_address, content_controls, erase_and_add, writing_controls
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity


class ContentState(NamedTuple):
    """Empty: a weighting depends on the current step alone."""


@dataclass(frozen=True)
class Content(Scheme[ContentState]):
    """NTM without location; see the module's docstring.

    >>> Content(read_heads=2, similarity="dot")
    Content(read_heads=2, write_heads=1, similarity='dot')
    """

    read_heads: AtLeastOne = 1
    """Read heads."""
    write_heads: AtLeastOne = 1
    """Write heads."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""
    name: Literal["content"] = field(default="content", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Key and strength for each head; erase and add for each write head."""
        return {
            **content_controls("write", self.write_heads, word_size),
            **writing_controls(self.write_heads, word_size),
            **content_controls("read", self.read_heads, word_size),
        }

    def initial_state(self, memory: Tensor) -> ContentState:
        """Return the empty state."""
        return ContentState()

    def write(self, controls: Controls, memory: Tensor, state: ContentState) -> tuple[Write, ContentState]:
        """Write to the slots similar to the write key."""
        return erase_and_add(controls, content_address(controls, "write", memory, self.similarity)), state

    def read(
        self, controls: Controls, memory: Tensor, state: ContentState, write: Write
    ) -> tuple[Tensor, ContentState]:
        """Read the slots similar to the read key."""
        return content_address(controls, "read", memory, self.similarity), state
