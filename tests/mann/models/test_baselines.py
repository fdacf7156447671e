"""Networks without a memory: against NumPy, and their dependence on earlier steps."""

import numpy
import pytest
import torch
from torch import Tensor, nn

from mann.models.baselines.recurrent import BASELINES, FeedForwardBaseline, RecurrentBaseline


def numbers(module: nn.Module) -> dict[str, numpy.ndarray]:
    """Return the weights as float64."""
    return {name: value.detach().double().numpy() for name, value in module.named_parameters()}


def sigmoid(values: numpy.ndarray) -> numpy.ndarray:
    """1 / (1 + e^-x)."""
    return 1 / (1 + numpy.exp(-values))


@pytest.fixture
def inputs() -> Tensor:
    """Return [time 5, batch 2, width 3], float64."""
    return torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_lstm_baseline_is_an_lstm_and_a_linear_layer(inputs: Tensor) -> None:
    network = RecurrentBaseline(nn.LSTM, 3, 2, 4).double()
    weights = numbers(network)
    outputs, (hidden, cell) = network(inputs)
    h, c = numpy.zeros((2, 4)), numpy.zeros((2, 4))
    for step in range(5):
        sums = inputs[step].numpy() @ weights["recurrent.weight_ih_l0"].T + h @ weights["recurrent.weight_hh_l0"].T
        input_gate, forget_gate, candidate, output_gate = numpy.split(
            sums + weights["recurrent.bias_ih_l0"] + weights["recurrent.bias_hh_l0"], 4, axis=1
        )
        c = sigmoid(forget_gate) * c + sigmoid(input_gate) * numpy.tanh(candidate)
        h = sigmoid(output_gate) * numpy.tanh(c)
        expected = h @ weights["output.weight"].T + weights["output.bias"]
        numpy.testing.assert_allclose(outputs[step].detach().numpy(), expected, atol=1e-12)
    numpy.testing.assert_allclose(hidden[0].detach().numpy(), h, atol=1e-12)
    numpy.testing.assert_allclose(cell[0].detach().numpy(), c, atol=1e-12)


def test_the_feed_forward_baseline_is_two_layers(inputs: Tensor) -> None:
    network = FeedForwardBaseline(3, 2, 4).double()
    weights = numbers(network)
    outputs, state = network(inputs)
    hidden = numpy.maximum(inputs.numpy() @ weights["hidden.0.0.weight"].T + weights["hidden.0.0.bias"], 0)
    expected = hidden @ weights["output.weight"].T + weights["output.bias"]
    numpy.testing.assert_allclose(outputs.detach().numpy(), expected, atol=1e-12)
    assert state == ()


def test_the_feed_forward_baseline_ignores_earlier_steps(inputs: Tensor) -> None:
    network = FeedForwardBaseline(3, 2, 4).double()
    changed = inputs.clone()
    changed[:4] += 1
    assert torch.equal(network(changed)[0][4], network(inputs)[0][4])
    assert not torch.equal(network(changed)[0][:4], network(inputs)[0][:4])


def test_the_lstm_baseline_remembers_earlier_steps(inputs: Tensor) -> None:
    network = RecurrentBaseline(nn.LSTM, 3, 2, 4).double()
    changed = inputs.clone()
    changed[0] += 1
    assert not torch.allclose(network(changed)[0][4], network(inputs)[0][4])


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_long_sequence_equals_its_parts_with_the_state_handed_on(name: str, inputs: Tensor) -> None:
    network = BASELINES[name](3, 2, 4).double()
    whole, last = network(inputs)
    first, state = network(inputs[:2])
    second, end = network(inputs[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    for one, other in zip(end, last, strict=True):
        torch.testing.assert_close(one, other)
