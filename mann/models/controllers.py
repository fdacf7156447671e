"""Controllers: the recurrent or feed-forward networks that receive the input and emit the controls of the memory.

A controller multiplies in two places. `project` multiplies the inputs of all steps at once, outside the loop over time,
with the `Affine` function it is given (`mann.models.unrolling`). `step` adds the products of `weights` with the hidden
output and the reads of the step before. It returns the inputs of these products too: from them an unrolling can
compute the weights' gradients once for all steps.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from mann.models.unrolling import Affine, State, Tensors, affine
from mann.settings.schema import Activation


class Controller(Protocol[State]):
    """The interface of a controller, a `torch.nn.Module`."""

    def project(self, multiply: Affine, inputs: Tensor) -> Tensors:
        """Return the term to add to the product of each weight, [rows, input_size] -> [rows, width]."""
        ...

    def weights(self) -> Tensors:
        """Return the weights of `step`, each [width, size of its input]."""
        ...

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Return the state before the first step, with the dtype and device of `like`."""
        ...

    def step(
        self, weights: Tensors, preactivations: Tensors, state: State, reads: Tensor
    ) -> tuple[Tensor, Tensors, State]:
        """Compute one step.

        Args:
            weights: As `weights` returns them.
            preactivations: The terms from `project` at this step, each [batch, width].
            state: The controller's state.
            reads: [batch, read_size], the last words that were read.

        Returns:
            The hidden output [batch, hidden_size], the input of each weight [batch, size], and the new state.
        """
        ...


class LSTMState(NamedTuple):
    """The state of an LSTM.

    Attributes:
        hidden, cell: [batch, hidden_size].
    """

    hidden: Tensor
    cell: Tensor


class LSTMController(nn.Module):
    """Long short-term memory: gates in the order input, forget, candidate, output.

    The recurrent weights start small and the forget bias at -1, so that keys and words depend on the current input
    almost alone: a word is then found again after another preceding input.

    >>> controller = LSTMController(input_size=9, read_size=4, hidden_size=16)
    >>> inputs, reads = torch.zeros(3, 9), torch.zeros(3, 4)
    >>> state = controller.initial_state(3, inputs)
    >>> hidden, _, state = controller.step(controller.weights(), controller.project(affine, inputs), state, reads)
    >>> hidden.shape
    torch.Size([3, 16])

    Args:
        input_size: Width of an input.
        read_size: Width of the reads, read heads * word_size.
        hidden_size: Width of the hidden output.
    """

    def __init__(self, input_size: int, read_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Parameter(torch.empty(4 * hidden_size, hidden_size + read_size))
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        nn.init.uniform_(self.recurrent, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
        with torch.no_grad():
            self.recurrent[:, :hidden_size] *= 0.1
            self.input.bias[hidden_size : 2 * hidden_size] = -1.0

    def project(self, multiply: Affine, inputs: Tensor) -> Tensors:
        """[rows, input_size] -> [rows, 4 hidden_size]."""
        return (multiply(self.input.bias, inputs, self.input.weight),)

    def weights(self) -> Tensors:
        """One weight, for the last hidden output and the last reads side by side."""
        return (self.recurrent,)

    def initial_state(self, batch: int, like: Tensor) -> LSTMState:
        """Return zeros."""
        zeros = like.new_zeros(batch, self.hidden_size)
        return LSTMState(zeros, zeros)

    def step(
        self, weights: Tensors, preactivations: Tensors, state: LSTMState, reads: Tensor
    ) -> tuple[Tensor, Tensors, LSTMState]:
        """See `Controller`."""
        recurrent = torch.cat([state.hidden, reads], -1)
        input_gate, forget_gate, candidate, output_gate = affine(preactivations[0], recurrent, weights[0]).chunk(4, -1)
        cell = forget_gate.sigmoid() * state.cell + input_gate.sigmoid() * candidate.tanh()
        hidden = output_gate.sigmoid() * cell.tanh()
        return hidden, (recurrent,), LSTMState(hidden, cell)


class GRUState(NamedTuple):
    """The state of a GRU.

    Attributes:
        hidden: [batch, hidden_size].
    """

    hidden: Tensor


class GRUController(nn.Module):
    """Gated recurrent unit as in torch: reset and update gates, then the candidate.

    It starts almost without a memory of its own: with an update bias of -3 a twentieth of the hidden output is kept
    from step to step. Until training raises that, it is nearly a feed-forward layer, which has to use the external
    memory.

    Args:
        input_size: Width of an input.
        read_size: Width of the reads, read heads * word_size.
        hidden_size: Width of the hidden output.
    """

    def __init__(self, input_size: int, read_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.input = nn.Linear(input_size, 3 * hidden_size)
        self.read = nn.Parameter(torch.empty(3 * hidden_size, read_size))
        self.recurrent = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.recurrent_bias = nn.Parameter(torch.zeros(3 * hidden_size))
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        for weight in (self.read, self.recurrent):
            nn.init.uniform_(weight, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))
        with torch.no_grad():
            self.recurrent *= 0.1
            self.input.bias[hidden_size : 2 * hidden_size] = -3.0

    def project(self, multiply: Affine, inputs: Tensor) -> Tensors:
        """Twice [rows, 3 hidden_size]: the candidate's recurrent share is reset before it is added."""
        return multiply(self.input.bias, inputs, self.input.weight), self.recurrent_bias.expand(len(inputs), -1)

    def weights(self) -> Tensors:
        """One for the last reads, one for the last hidden output."""
        return self.read, self.recurrent

    def initial_state(self, batch: int, like: Tensor) -> GRUState:
        """Return zeros."""
        return GRUState(like.new_zeros(batch, self.hidden_size))

    def step(
        self, weights: Tensors, preactivations: Tensors, state: GRUState, reads: Tensor
    ) -> tuple[Tensor, Tensors, GRUState]:
        """See `Controller`."""
        external = affine(preactivations[0], reads, weights[0]).chunk(3, -1)
        recurrent = affine(preactivations[1], state.hidden, weights[1]).chunk(3, -1)
        reset = (external[0] + recurrent[0]).sigmoid()
        update = (external[1] + recurrent[1]).sigmoid()
        candidate = (external[2] + reset * recurrent[2]).tanh()
        hidden = candidate + update * (state.hidden - candidate)
        return hidden, (reads, state.hidden), GRUState(hidden)


class FeedForwardController(nn.Module):
    """One layer of units, without a state: everything that is remembered is in the external memory.

    Rectified linear units (relu) are never below 0, so that their outputs for any two inputs are similar at first:
    content addressing tells images apart much later than with tanh (docs/log.md). With tanh the weights of the reads
    start small, for the same reason as in `LSTMController`.

    Args:
        input_size: Width of an input.
        read_size: Width of the reads, read heads * word_size.
        hidden_size: Width of the hidden output.
        initial_biases: Largest magnitude of the initial biases. With 0 all units are 0 if the input and the reads are,
            and the controls at such a step are learned by the interface's biases alone.
        activation: relu or tanh.
    """

    def __init__(
        self,
        input_size: int,
        read_size: int,
        hidden_size: int,
        initial_biases: float = 0.0,
        activation: Activation = "relu",
    ):
        super().__init__()
        self.activation: Callable[[Tensor], Tensor] = getattr(torch, activation)
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Parameter(torch.empty(hidden_size, read_size))
        for weight in (self.input.weight, self.recurrent):
            nn.init.kaiming_uniform_(weight, nonlinearity="relu")
        if activation == "tanh":
            with torch.no_grad():
                self.recurrent *= 0.1
        if initial_biases == 0.0:
            nn.init.zeros_(self.input.bias)  # no random number is drawn: weights are those without the option
        else:
            nn.init.uniform_(self.input.bias, -initial_biases, initial_biases)

    def project(self, multiply: Affine, inputs: Tensor) -> Tensors:
        """[rows, input_size] -> [rows, hidden_size]."""
        return (multiply(self.input.bias, inputs, self.input.weight),)

    def weights(self) -> Tensors:
        """One weight, for the last reads."""
        return (self.recurrent,)

    def initial_state(self, batch: int, like: Tensor) -> tuple[()]:
        """Return the empty state."""
        return ()

    def step(
        self, weights: Tensors, preactivations: Tensors, state: tuple[()], reads: Tensor
    ) -> tuple[Tensor, Tensors, tuple[()]]:
        """See `Controller`."""
        return self.activation(affine(preactivations[0], reads, weights[0])), (reads,), ()


ControllerKind = Callable[[int, int, int], Controller]
"""Makes a controller from (input_size, read_size, hidden_size)."""

CONTROLLERS: Final[Mapping[str, ControllerKind]] = {
    "lstm": LSTMController,
    "gru": GRUController,
    "feedforward": FeedForwardController,
}
"""All controllers of one layer by name."""


class StackedController(nn.Module):
    """Layers of one kind, each on the input, the last reads and the output of the layer below (Graves et al. 2016).

    Args:
        kind: Makes a layer.
        layers: Number of layers, at least 1.
        input_size: Width of an input.
        read_size: Width of the reads, read heads * word_size.
        hidden_size: Width of each layer's hidden output.
    """

    def __init__(self, kind: ControllerKind, layers: int, input_size: int, read_size: int, hidden_size: int):
        super().__init__()
        sizes = [read_size] + [read_size + hidden_size] * (layers - 1)
        self.layers = nn.ModuleList(kind(input_size, size, hidden_size) for size in sizes)  # pyright: ignore[reportArgumentType]
        self._weight_counts = [len(layer.weights()) for layer in self._layers()]

    def _layers(self) -> list[Controller]:
        return list(self.layers)  # pyright: ignore[reportReturnType]

    def project(self, multiply: Affine, inputs: Tensor) -> Tensors:
        """The terms of each layer, one layer after the other."""
        return tuple(term for layer in self._layers() for term in layer.project(multiply, inputs))

    def weights(self) -> Tensors:
        """The layers' weights, one layer after the other."""
        return tuple(weight for layer in self._layers() for weight in layer.weights())

    def initial_state(self, batch: int, like: Tensor) -> tuple[object, ...]:
        """Return the state of each layer."""
        return tuple(layer.initial_state(batch, like) for layer in self._layers())

    def step(
        self, weights: Tensors, preactivations: Tensors, state: tuple[object, ...], reads: Tensor
    ) -> tuple[Tensor, Tensors, tuple[object, ...]]:
        """Step from the lowest layer to the highest; the hidden output is that of the highest."""
        lower, used, after, start = reads, (), (), 0
        hidden = reads
        for layer, before, count in zip(self._layers(), state, self._weight_counts, strict=True):
            own = slice(start, start + count)
            hidden, inputs, now = layer.step(weights[own], preactivations[own], before, lower)
            lower = torch.cat([reads, hidden], -1)
            used, after, start = (*used, *inputs), (*after, now), start + count
        return hidden, used, after


def controller_kind(
    name: str, layers: int = 1, initial_biases: float = 0.0, activation: Activation = "relu"
) -> ControllerKind:
    """Return a function that makes a controller of `layers` layers from (input_size, read_size, hidden_size).

    >>> make = controller_kind("gru", layers=2)
    >>> [tuple(weight.shape) for weight in make(9, 4, 16).weights()]  # of reads and hidden output, for each layer
    [(48, 4), (48, 16), (48, 20), (48, 16)]

    Args:
        name: One of `CONTROLLERS`.
        layers: Number of layers, at least 1.
        initial_biases: See `FeedForwardController`; the others have initial biases of their own.
        activation: Likewise.
    """
    kind = CONTROLLERS[name]
    if name == "feedforward":
        kind = partial(FeedForwardController, initial_biases=initial_biases, activation=activation)
    return kind if layers == 1 else partial(StackedController, kind, layers)
