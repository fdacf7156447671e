"""Controllers: what reads the input and drives the memory.

A controller's step is cut where the network multiplies: `project` gives the input's share of the
pre-activations, for all steps in one product; the network adds `recurrent @ recurrent_input`; and
`step` does what is left.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Controller(Protocol):
    """What a network asks of its controller; a `torch.nn.Module`.

    Attributes:
        recurrent: [pre-activations, width of `recurrent_input`].
    """

    recurrent: nn.Parameter

    def project(self, inputs: Tensor) -> Tensor:
        """Return the input's share, [time, batch, input_size] -> [time, batch, pre-activations]."""
        ...

    def initial_state(self, batch: int, like: Tensor) -> Any:
        """Return the state before the first step, with the dtype and device of `like`."""
        ...

    def recurrent_input(self, state: Any, reads: Tensor) -> Tensor:
        """Return what comes back from the last step; reads: [batch, read_size]."""
        ...

    def step(self, preactivations: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the hidden output [batch, hidden_size] and the new state."""
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

    def project(self, inputs: Tensor) -> Tensor:
        """[time, batch, input_size] -> [time, batch, 4 hidden_size]."""
        return self.input(inputs)

    def initial_state(self, batch: int, like: Tensor) -> LSTMState:
        """Return zeros."""
        zeros = like.new_zeros(batch, self.hidden_size)
        return LSTMState(zeros, zeros)

    def recurrent_input(self, state: LSTMState, reads: Tensor) -> Tensor:
        """Return the last hidden output and the last reads, side by side."""
        return torch.cat([state.hidden, reads], -1)

    def step(self, preactivations: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Return hidden and the new state; preactivations: [batch, 4 hidden_size]."""
        enter, forget, candidate, leave = preactivations.chunk(4, -1)
        cell = forget.sigmoid() * state.cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        return hidden, LSTMState(hidden, cell)


class FeedForwardController(nn.Module):
    """One layer of rectified linear units; nothing is remembered but through memory."""

    def __init__(self, input_size: int, read_size: int, hidden_size: int):
        super().__init__()
        self.input = nn.Linear(input_size, hidden_size)
        self.recurrent = nn.Parameter(torch.empty(hidden_size, read_size))
        for weight in (self.input.weight, self.recurrent):
            nn.init.kaiming_uniform_(weight, nonlinearity="relu")
        nn.init.zeros_(self.input.bias)

    def project(self, inputs: Tensor) -> Tensor:
        """[time, batch, input_size] -> [time, batch, hidden_size]."""
        return self.input(inputs)

    def initial_state(self, batch: int, like: Tensor) -> tuple[()]:
        """Return the empty state."""
        return ()

    def recurrent_input(self, state: tuple[()], reads: Tensor) -> Tensor:
        """Return the last reads."""
        return reads

    def step(self, preactivations: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:
        """Return hidden; preactivations: [batch, hidden_size]."""
        return preactivations.relu(), ()


CONTROLLERS: Mapping[str, Callable[[int, int, int], Controller]] = MappingProxyType(
    {"lstm": LSTMController, "feedforward": FeedForwardController}
)
"""By name, what makes a controller from (input_size, read_size, hidden_size)."""
