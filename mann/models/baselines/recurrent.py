"""Networks without an external memory, for comparison; used like `torch.nn.LSTM`."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, Final

from torch import Tensor, nn


class RecurrentBaseline(nn.Module):
    """A recurrent network and a linear output layer (Santoro et al. 2016, "LSTM").

    >>> import torch
    >>> outputs, state = RecurrentBaseline(nn.LSTM, 9, 8, hidden_size=16)(torch.zeros(5, 3, 9))
    >>> outputs.shape
    torch.Size([5, 3, 8])

    Args:
        kind: `torch.nn.LSTM` or `torch.nn.GRU`.
        input_size: Width of an input.
        output_size: Width of an output.
        hidden_size: Width of a recurrent layer.
        layers: Number of recurrent layers.
    """

    def __init__(
        self,
        kind: type[nn.LSTM] | type[nn.GRU],
        input_size: int,
        output_size: int,
        hidden_size: int,
        layers: int = 1,
    ):
        super().__init__()
        self.recurrent = kind(input_size, hidden_size, layers)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """[time, batch, input_size] -> [time, batch, output_size], and the recurrent layers' last state."""
        hidden, after = self.recurrent(inputs, state)
        return self.output(hidden), after


class FeedForwardBaseline(nn.Module):
    """Hidden layers of rectified linear units, without a state ("feed-forward").

    It shows the accuracy that is possible without memory: that of guessing, with the previous label as the only hint.

    Args:
        input_size: Width of an input.
        output_size: Width of an output.
        hidden_size: Width of a hidden layer.
        layers: Number of hidden layers.
    """

    def __init__(self, input_size: int, output_size: int, hidden_size: int, layers: int = 1):
        super().__init__()
        sizes = [input_size] + [hidden_size] * layers
        self.hidden = nn.Sequential(*(nn.Sequential(nn.Linear(*size), nn.ReLU()) for size in pairwise(sizes)))
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: tuple[()] | None = None) -> tuple[Tensor, tuple[()]]:
        """[time, batch, input_size] -> [time, batch, output_size], and an empty state."""
        return self.output(self.hidden(inputs)), ()


BASELINES: Final[Mapping[str, Callable[..., nn.Module]]] = {
    "lstm": partial(RecurrentBaseline, nn.LSTM),
    "gru": partial(RecurrentBaseline, nn.GRU),
    "feedforward": FeedForwardBaseline,
}
"""By the controller's name, a function that makes a baseline from (input_size, output_size, hidden_size, layers)."""
