"""Networks without an external memory, to compare with; used like `torch.nn.LSTM` too."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

LSTMState = tuple[Tensor, Tensor]


class LSTMBaseline(nn.Module):
    """An LSTM and a linear output layer (Santoro et al. 2016, "LSTM")."""

    def __init__(self, input_size: int, output_size: int, hidden_size: int):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """[time, batch, input_size] -> [time, batch, output_size], and the LSTM's last state."""
        hidden, after = self.lstm(inputs, state)
        return self.output(hidden), after


class FeedForwardBaseline(nn.Module):
    """One hidden layer of rectified linear units, blind to all earlier steps ("feed-forward").

    It shows what can be known without remembering: the label before, and so the share of guessing.
    """

    def __init__(self, input_size: int, output_size: int, hidden_size: int):
        super().__init__()
        self.hidden = nn.Linear(input_size, hidden_size)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, inputs: Tensor, state: tuple[()] | None = None) -> tuple[Tensor, tuple[()]]:
        """[time, batch, input_size] -> [time, batch, output_size], and an empty state."""
        return self.output(self.hidden(inputs).relu()), ()


BASELINES: Mapping[str, Callable[[int, int, int], nn.Module]] = MappingProxyType(
    {"lstm": LSTMBaseline, "feedforward": FeedForwardBaseline}
)
"""By the controller's name, what makes a baseline from (input_size, output_size, hidden_size)."""
