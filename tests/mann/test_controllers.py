"""Controllers: against torch.nn.LSTMCell and against numpy."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mann.controllers import CONTROLLERS, FeedForwardController, LSTMController, LSTMState

SIZES = {name: st.integers(1, 4) for name in ("batch", "input_size", "read_size", "hidden_size")}


def random(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Return float64 normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=40)
@given(**SIZES, seed=st.integers(0, 1000))
def test_the_lstm_is_torchs_with_input_and_reads_side_by_side(
    batch: int, input_size: int, read_size: int, hidden_size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    controller = LSTMController(input_size, read_size, hidden_size).double()
    cell = nn.LSTMCell(input_size + read_size, hidden_size, dtype=torch.float64)
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.copy_(random(generator, *parameter.shape))
        # Torch keeps its gates in the same order: input, forget, candidate, output.
        cell.weight_ih.copy_(torch.cat([controller.input.weight, controller.recurrent[:, hidden_size:]], 1))
        cell.weight_hh.copy_(controller.recurrent[:, :hidden_size])
        cell.bias_ih.copy_(controller.input.bias)
        cell.bias_hh.zero_()
    state = LSTMState(random(generator, batch, hidden_size), random(generator, batch, hidden_size))
    expected = (state.hidden, state.cell)
    for _ in range(3):
        inputs, reads = random(generator, batch, input_size), random(generator, batch, read_size)
        product = controller.recurrent_input(state, reads) @ controller.recurrent.T
        hidden, state = controller.step(controller.project(inputs) + product, state)
        expected = cell(torch.cat([inputs, reads], 1), expected)
        for found, right in ((hidden, expected[0]), (state.hidden, expected[0]), (state.cell, expected[1])):
            numpy.testing.assert_allclose(found.detach().numpy(), right.detach().numpy(), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(**SIZES, seed=st.integers(0, 1000))
def test_the_feed_forward_controller_is_one_layer_of_rectified_sums(
    batch: int, input_size: int, read_size: int, hidden_size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    controller = FeedForwardController(input_size, read_size, hidden_size).double()
    with torch.no_grad():
        controller.input.bias.copy_(random(generator, hidden_size))
    inputs, reads = random(generator, batch, input_size), random(generator, batch, read_size)
    product = controller.recurrent_input((), reads) @ controller.recurrent.T
    hidden, state = controller.step(controller.project(inputs) + product, ())
    expected = numpy.zeros((batch, hidden_size))
    weight, bias = controller.input.weight.detach().numpy(), controller.input.bias.detach().numpy()
    recurrent = controller.recurrent.detach().numpy()
    for b, h in numpy.ndindex(batch, hidden_size):
        total = bias[h]
        total += sum(weight[h, i] * float(inputs[b, i]) for i in range(input_size))
        total += sum(recurrent[h, r] * float(reads[b, r]) for r in range(read_size))
        expected[b, h] = max(total, 0)
    assert state == ()
    numpy.testing.assert_allclose(hidden.detach().numpy(), expected, atol=1e-12)


def test_a_new_lstm_answers_to_what_it_sees_more_than_to_the_step_before() -> None:
    controller = LSTMController(3, 2, 100)
    assert controller.input.bias.tolist() == [0.0] * 100 + [-1.0] * 100 + [0.0] * 200
    before, reads = controller.recurrent.split([100, 2], 1)
    assert 0.005 < before.abs().max() < 0.0101 and 0.05 < reads.abs().max() < 0.101


def test_an_open_forget_gate_and_a_shut_input_gate_keep_the_cell() -> None:
    controller = LSTMController(1, 1, 2)
    shut, wide = [-100.0] * 2, [100.0] * 2
    preactivations = torch.tensor([[*shut, *wide, 3.0, 3.0, *wide]])
    _, state = controller.step(preactivations, LSTMState(torch.zeros(1, 2), torch.tensor([[0.5, -2.0]])))
    assert state.cell.tolist() == [[0.5, -2.0]]
    assert state.hidden.tolist() == [pytest.approx([numpy.tanh(0.5), numpy.tanh(-2)])]


@pytest.mark.parametrize("name", list(CONTROLLERS))
def test_all_steps_are_projected_at_once_as_one_by_one(name: str) -> None:
    controller = CONTROLLERS[name](3, 2, 4)
    inputs = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    together = controller.project(inputs)
    for step in range(5):
        torch.testing.assert_close(together[step], controller.project(inputs[step]))


@pytest.mark.parametrize("name", list(CONTROLLERS))
def test_a_step_changes_nothing_in_place_and_starts_from_nothing(name: str) -> None:
    controller = CONTROLLERS[name](3, 2, 4)
    state = controller.initial_state(2, torch.zeros(1, dtype=torch.float64))
    assert all(part.shape == (2, 4) and part.dtype == torch.float64 and not part.any() for part in state)
    reads = torch.ones(2, 2, dtype=torch.float64)
    back = controller.recurrent_input(state, reads)
    assert back.shape[-1] == controller.recurrent.shape[1]
    preactivations = torch.randn(2, len(controller.recurrent), dtype=torch.float64)
    before = preactivations.clone()
    controller.step(preactivations, state)
    assert torch.equal(preactivations, before)
    assert not any(part.any() for part in state)
