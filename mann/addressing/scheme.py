"""The contract of an addressing scheme: the controls it needs, where it writes and where it reads.

A scheme is one frozen dataclass derived from `Scheme` (configuration and implementation, no parameters). Everything is
a pure function: states are arguments, new states are results. A network calls, at each step,

    controls            from the controller's output, as `Scheme.controls` declares them
    Scheme.write        -> Write, state
    memory.write        the memory after the write
    Scheme.read         -> read weights, state
    memory.read         the words that were read

Dimension words: `batch` sequences, `slots` memory locations (the papers' N), `word_size` numbers in a location
(the papers' W or M), `heads`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from torch import Tensor

from data.checking import Checked

State = TypeVar("State")
"""The state of a scheme: a NamedTuple of tensors."""


WeightsAre = Literal["weightings", "features"]
"""Weights of heads over slots are shares in [0, 1], or feature vectors of any sign: keys and queries."""


class Control(NamedTuple):
    """One named output of the controller: `range(gain * weights @ hidden + bias)`.

    Attributes:
        heads: Number of heads that have this control.
        size: Numbers for each head.
        range: Maps real numbers of any size into the control's range.
        gain: Factor on the controller's contribution to the control. Adam moves all weights at the same rate, so a
            control with a gain below 1 changes more slowly in training and stays close to its bias for longer.
    """

    heads: int
    size: int
    range: Callable[[Tensor], Tensor]
    gain: float = 1.0


def identity(emitted: Tensor) -> Tensor:
    """The range of a control that may be any real number."""
    return emitted


Controls = dict[str, Tensor]
"""The values of a step's controls by name, each [batch, heads, size], already in its range."""


class Write(NamedTuple):
    """One step's write: `memory * keep + sum over heads of weights * add` (NTM section 3.2).

    Attributes:
        weights: [batch, heads, slots]; in [0, 1] where the scheme's weights are weightings.
        keep: [batch, slots, word_size or 1] in [0, 1], the share of the old content that survives the erase.
        add: [batch, heads, word_size].
    """

    weights: Tensor
    keep: Tensor
    add: Tensor


class Scheme(Checked, ABC, Generic[State]):
    """An addressing scheme.

    Its state, the type parameter, is a NamedTuple of tensors, batch first. Fields of the state named `read_weights` and
    `write_weights` are weightings [batch, heads, slots]; a network can learn their initial values.
    """

    read_heads: int
    """Number of read heads."""
    name: Any
    """The scheme's name in settings and on the command line: the last field of each scheme, a `Literal` of one text."""

    @property
    def weights_are(self) -> WeightsAre:
        """What read and write weights are; pictures show each as what it is.

        "weightings": numbers in [0, 1], those of a read head with a sum of at most 1: shares of attention to slots.
        "features": keys and queries, feature vectors of any sign with a number for each slot.
        """
        return "weightings"

    @property
    def start_marker(self) -> float:
        """First number of the first slot of a constant memory, and of the initial reads; 0: no marker.

        It tells heads that start at the first slot that they are there.
        """
        return 0.0

    @abstractmethod
    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Return the controls that the controller must emit, for a memory of [slots, word_size]."""

    @abstractmethod
    def initial_state(self, memory: Tensor) -> State:
        """Return the state before the first step, for a memory [batch, slots, word_size] of its dtype and device."""

    @abstractmethod
    def write(self, controls: Controls, memory: Tensor, state: State) -> tuple[Write, State]:
        """Return the write to the memory [batch, slots, word_size], and the state that `read` receives."""

    @abstractmethod
    def read(self, controls: Controls, memory: Tensor, state: State, write: Write) -> tuple[Tensor, State]:
        """Return the read weights, and the state for the next step.

        Args:
            controls: The same as for `write`.
            memory: The memory that is read, [batch, slots, word_size]: after the write or before it.
            state: The state that `write` returned.
            write: The write of this step.

        Returns:
            Read weights [batch, read heads, slots], as `weights_are` says; and the state.
        """

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Change the initial weights and biases of the controls in place, where random ones are not the best.

        Args:
            weights: By control, [heads, size, hidden_size], without gradients.
            biases: By control, [heads, size], without gradients.
        """

    def slots_in_reach(self, slots: int, steps: int, before: int = 0) -> int:
        """Return how many of `slots` slots can be accessed within `steps` steps, if all slots are equal at first.

        A scheme that accesses few slots in a step needs only those; a network then keeps no others. For `steps` further
        steps, `before` is the result for the steps so far; `grow` adds the missing slots to the state.
        """
        return slots

    def grow(self, state: State, slots: int) -> State:
        """Return the state with the number of slots raised to `slots`, the new ones as if never accessed."""
        return state
