"""Networks without an external memory, to compare with; used like `torch.nn.LSTM` too."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn


class RecurrentBaseline(nn.Module):
    """A recurrent network and a linear output layer (Santoro et al. 2016, "LSTM").

    Args:
        kind: `torch.nn.LSTM` or `torch.nn.GRU`.
        input_size, output_size, hidden_size: Widths.
        layers: How many recurrent layers.
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
    """Hidden layers of rectified linear units, blind to all earlier steps ("feed-forward").

    It shows what can be known without remembering: the label before, and so the share of guessing.
    """

    def __init__(self, input_size: int, output_size: int, hidden_size: int, layers: int = 1):
        super().__init__()
        sizes = [input_size] + [hidden_size] * layers
        self.hidden = nn.Sequential(*(nn.Sequential(nn.Linear(*size), nn.ReLU()) for size in pairwise(sizes)))
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: tuple[()] | None = None) -> tuple[Tensor, tuple[()]]:
        """[time, batch, input_size] -> [time, batch, output_size], and an empty state."""
        return self.output(self.hidden(inputs)), ()


BASELINES: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "lstm": partial(RecurrentBaseline, nn.LSTM),
        "gru": partial(RecurrentBaseline, nn.GRU),
        "feedforward": FeedForwardBaseline,
    }
)
"""By the controller's name, what makes a baseline from (input_size, output_size, hidden_size, layers)."""
