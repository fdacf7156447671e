"""What the controller says to the memory, and what a scheme of addressing answers.

A scheme is one frozen dataclass (configuration and implementation, no parameters) of the abstract `Scheme` below, which
is the whole contract. Everything is a pure function: states go in, new states come out.
Dimension words: `batch` sequences, `slots` memory locations (the papers' N), `word_size` numbers in a location
(the papers' W or M), `heads`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

from annotated_types import Ge
from torch import Tensor

AtLeastOne = Annotated[int, Ge(1)]


class Control(NamedTuple):
    """One named output of the controller.

    heads: how many of them; size: numbers for each head; range: maps any real numbers into the control's range; heed:
    what the hidden units add to the bias is multiplied by it. With less than 1 it is smaller, and changes as much
    slower in training, as Adam moves all weights alike: the control keeps longer to what its bias says.
    """

    heads: int
    size: int
    range: Callable[[Tensor], Tensor]
    heed: float = 1.0


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


class Scheme(ABC):
    """A way of addressing memory.

    Its state is a NamedTuple of tensors, batch first. Fields of the state named `read_weights` and `write_weights` are
    weightings [batch, heads, slots], which a network may learn to start with.
    """

    # Options read from a file are of their type and in their range, and there are no others.
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    read_heads: int
    """Number of read heads."""

    @property
    def left_end(self) -> float:
        """A sign in the first slot of a constant memory, and in what was read before the first step; 0: none.

        It is the first number of the word, and means something to heads that start there.
        """
        return 0.0

    @abstractmethod
    def controls(self, word_size: int) -> dict[str, Control]:
        """The controls that the controller must emit."""

    @abstractmethod
    def initial_state(self, batch: int, slots: int, like: Tensor) -> Any:
        """State before the first step, with the dtype and device of `like`."""

    @abstractmethod
    def write(self, controls: Controls, memory: Tensor, state: Any) -> tuple[Write, Any]:
        """Decide what to write, and how the state goes on from there. memory: [batch, slots, word_size]."""

    @abstractmethod
    def read(self, controls: Controls, memory: Tensor, state: Any, write: Write) -> tuple[Tensor, Any]:
        """Decide where to read, and what the next step's state is.

        memory is what the heads read, with the write done or not; state is what `write` returned.
        Read weights are [batch, read heads, slots]; each row lies in [0, 1] and sums to at most 1.
        """

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Change in place what the linear maps to the controls start with, where chance is not the best start.

        weights: by control, [heads, size, hidden]; biases: [heads, size]; both without gradients recorded.
        """

    def slots_in_reach(self, slots: int, steps: int, before: int = 0) -> int:
        """How many of the `slots` can matter within `steps` steps, if all of them start alike.

        Schemes that touch few slots in a step need not be given those that they cannot reach. The answer for the
        `steps` that follow is asked with what was answered `before`; `grow` then adds the slots that are missing.
        """
        return slots

    def grow(self, state: Any, slots: int) -> Any:
        """Return the state as if there had been so many slots, the new ones untouched."""
        return state
