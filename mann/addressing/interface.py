"""What the controller says to the memory, and what a scheme of addressing answers.

A scheme is one frozen dataclass (configuration and implementation, no parameters) with six methods;
`Scheme` below is the whole contract. Everything is a pure function: states go in, new states come out.
Dimension words: `batch` sequences, `slots` memory locations (the papers' N), `word_size` numbers in a location
(the papers' W or M), `heads`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Control(NamedTuple):
    """One named output of the controller.

    heads: how many of them; size: numbers for each head; range: maps any real numbers into the control's range.
    """

    heads: int
    size: int
    range: Callable[[Tensor], Tensor]


Controls = dict[str, Tensor]
"""By name, each [batch, heads, size], already in its range."""


class Write(NamedTuple):
    """What one step writes: `memory * keep + sum over heads of weights * add` (NTM section 3.2).

    weights: [batch, heads, slots] in [0, 1]; keep: [batch, slots, word_size or 1] in [0, 1], the share of the old
    content that survives the erase; add: [batch, heads, word_size].
    """

    weights: Tensor
    keep: Tensor
    add: Tensor


class Scheme(Protocol):
    """A way of addressing memory. Its `State` is a NamedTuple of tensors, batch first."""

    @property
    def read_heads(self) -> int:
        """Number of read heads."""
        ...

    def controls(self, word_size: int) -> dict[str, Control]:
        """The controls that the controller must emit."""
        ...

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Change in place what the linear maps to the controls start with, where chance is not the best start.

        weights: by control, [heads, size, hidden]; biases: [heads, size]; both without gradients recorded.
        """
        ...

    def initial_state(self, batch: int, slots: int, like: Tensor) -> Any:
        """State before the first step, with the dtype and device of `like`."""
        ...

    def write(self, controls: Controls, memory: Tensor, state: Any) -> Write:
        """Decide what to write. memory: [batch, slots, word_size]."""
        ...

    def read(self, controls: Controls, memory: Tensor, state: Any, write: Write) -> Tensor:
        """Read weights [batch, read heads, slots]; each row lies in [0, 1] and sums to at most 1."""
        ...

    def advance(self, controls: Controls, state: Any, write: Write, read_weights: Tensor) -> Any:
        """State for the next step."""
        ...
