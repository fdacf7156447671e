"""Controllers: what reads the input and drives the memory.

A controller multiplies in two places. `project` gives the input's share of the pre-activations, for all steps in one
product, in the way that it is told (`mann.fast.products`); `step` adds the products of `weights` with what comes back
from the step before. It says what each weight was multiplied with, so that its gradient can be taken once for all steps
(`mann.fast.through_time`).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from mann.fast.products import Affine, affine

Tensors = tuple[Tensor, ...]
Activation = Literal["relu", "tanh"]


class Controller(Protocol):
    """What a network asks of its controller; a `torch.nn.Module`."""

    def project(self, multiply: Affine, inputs: Tensor) -> Tensors:
        """Return what is added to the product of each weight, [rows, input_size] -> [rows, width]."""
        ...

    def weights(self) -> Tensors:
        """Return the weights of `step`, each [width, width of what it is multiplied with]."""
        ...

    def initial_state(self, batch: int, like: Tensor) -> Any:
        """Return the state before the first step, with the dtype and device of `like`."""
        ...

    def step(self, weights: Tensors, preactivations: Tensors, state: Any, reads: Tensor) -> tuple[Tensor, Tensors, Any]:
        """Return the hidden output [batch, hidden_size], what each weight was multiplied with, and the new state.

        preactivations: what `project` returned, at this step; reads: [batch, read_size], what was read last.
        """
        ...


class LSTMState(NamedTuple):
    """hidden, cell: [batch, hidden_size]."""

    hidden: Tensor
    cell: Tensor


class LSTMController(nn.Module):
    """Long short-term memory: gates in the order input, forget, candidate, output.

    It starts with little of the step before in it: what it looks for and what it writes then depend on what it sees
    now, so that a word is found again when something else came before. For the same reason the forget bias is -1.
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
        back = torch.cat([state.hidden, reads], -1)
        enter, forget, candidate, leave = affine(preactivations[0], back, weights[0]).chunk(4, -1)
        cell = forget.sigmoid() * state.cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        return hidden, (back,), LSTMState(hidden, cell)


class GRUState(NamedTuple):
    """hidden: [batch, hidden_size]."""

    hidden: Tensor


class GRUController(nn.Module):
    """Gated recurrent unit as in torch: reset and update gates, then the candidate.

    It starts almost as if it had no memory of its own: with an update bias of -3 a twentieth of the step before stays.
    Until it finds out what it has to remember it works as a feed-forward layer, which has to use the memory outside.
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
        seen = affine(preactivations[0], reads, weights[0]).chunk(3, -1)
        back = affine(preactivations[1], state.hidden, weights[1]).chunk(3, -1)
        reset = (seen[0] + back[0]).sigmoid()
        update = (seen[1] + back[1]).sigmoid()
        candidate = (seen[2] + reset * back[2]).tanh()
        hidden = candidate + update * (state.hidden - candidate)
        return hidden, (reads, state.hidden), GRUState(hidden)


class FeedForwardController(nn.Module):
    """One layer of units; nothing is remembered but through memory.

    Rectified linear units (relu) are never below 0, so that what they make of any two inputs is alike to begin with: a
    memory that is addressed by content tells drawings apart much later than with tanh (docs/log.md). With tanh the
    layer starts with little of what was read before in it, for the reason that `LSTMController` does.

    Args:
        input_size, read_size, hidden_size: As of each controller.
        initial_biases: Largest magnitude of the biases at first. With 0 all units are silent when the input is empty
            and nothing has been read; what the network does then is learned by its last biases alone.
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

CONTROLLERS: Mapping[str, ControllerKind] = MappingProxyType(
    {"lstm": LSTMController, "gru": GRUController, "feedforward": FeedForwardController}
)
"""All controllers of one layer by name."""


class StackedController(nn.Module):
    """Layers of one kind, each of which sees the input, the last reads and the layer below (Graves et al. 2016).

    Args:
        kind: Makes a layer.
        layers: How many, at least 1.
        input_size, read_size, hidden_size: As of each layer.
    """

    def __init__(self, kind: ControllerKind, layers: int, input_size: int, read_size: int, hidden_size: int):
        super().__init__()
        sizes = [read_size] + [read_size + hidden_size] * (layers - 1)
        self.layers = nn.ModuleList(kind(input_size, size, hidden_size) for size in sizes)  # pyright: ignore[reportArgumentType]
        self._shares = [len(layer.weights()) for layer in self._layers()]

    def _layers(self) -> list[Controller]:
        return list(self.layers)  # pyright: ignore[reportReturnType]

    def project(self, multiply: Affine, inputs: Tensor) -> Tensors:
        """What each layer adds to its products, one layer after the other."""
        return tuple(part for layer in self._layers() for part in layer.project(multiply, inputs))

    def weights(self) -> Tensors:
        """The layers' weights, one layer after the other."""
        return tuple(weight for layer in self._layers() for weight in layer.weights())

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Return the state of each layer."""
        return tuple(layer.initial_state(batch, like) for layer in self._layers())

    def step(
        self, weights: Tensors, preactivations: Tensors, state: tuple[Any, ...], reads: Tensor
    ) -> tuple[Tensor, Tensors, tuple[Any, ...]]:
        """Step from the lowest layer to the highest; the hidden output is that of the highest."""
        seen, used, after, start = reads, (), (), 0
        hidden = reads
        for layer, before, share in zip(self._layers(), state, self._shares, strict=True):
            own = slice(start, start + share)
            hidden, inputs, now = layer.step(weights[own], preactivations[own], before, seen)
            seen = torch.cat([reads, hidden], -1)
            used, after, start = (*used, *inputs), (*after, now), start + share
        return hidden, used, after


def controller_kind(
    name: str, layers: int = 1, initial_biases: float = 0.0, activation: Activation = "relu"
) -> ControllerKind:
    """Return what makes a controller of `layers` layers from (input_size, read_size, hidden_size).

    initial_biases, activation: Of feed-forward layers; the others have their own.
    """
    kind = CONTROLLERS[name]
    if name == "feedforward":
        kind = partial(FeedForwardController, initial_biases=initial_biases, activation=activation)
    return kind if layers == 1 else partial(StackedController, kind, layers)
