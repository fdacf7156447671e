"""Controllers: against torch's cells and against numpy."""

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mann.models.controllers import (
    CONTROLLERS,
    Activation,
    FeedForwardController,
    GRUController,
    GRUState,
    LSTMController,
    LSTMState,
    StackedController,
    controller_kind,
)
from mann.models.unrolling import affine
from mann.support.trees import leaves_of, map_leaves

SIZES = {name: st.integers(1, 4) for name in ("batch", "input_size", "read_size", "hidden_size")}


def random(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Return float64 normal numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def randomised(controller: Any, generator: torch.Generator) -> Any:
    """Return a float64 controller with weights of some size, biases too."""
    controller = controller.double()
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.copy_(random(generator, *parameter.shape))
    return controller


def stepped(
    controller: Any, inputs: torch.Tensor, state: Any, reads: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], Any]:
    """Run one step on inputs [batch, input_size]."""
    return controller.step(controller.weights(), controller.project(affine, inputs), state, reads)


def gate_rows(cell: nn.LSTMCell | nn.GRUCell, input_share: torch.Tensor, recurrent_share: torch.Tensor) -> None:
    """Give torch's cell a controller's weights; torch keeps its gates in the same order."""
    cell.weight_ih.copy_(input_share)
    cell.weight_hh.copy_(recurrent_share)


@settings(deadline=None, max_examples=40)
@given(**SIZES, seed=st.integers(0, 1000))
def test_the_lstm_is_torchs_with_input_and_reads_side_by_side(
    batch: int, input_size: int, read_size: int, hidden_size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    controller = randomised(LSTMController(input_size, read_size, hidden_size), generator)
    cell = nn.LSTMCell(input_size + read_size, hidden_size, dtype=torch.float64)
    with torch.no_grad():
        recurrent, read = controller.recurrent.split([hidden_size, read_size], 1)
        gate_rows(cell, torch.cat([controller.input.weight, read], 1), recurrent)
        cell.bias_ih.copy_(controller.input.bias)
        cell.bias_hh.zero_()
    state = LSTMState(random(generator, batch, hidden_size), random(generator, batch, hidden_size))
    expected = (state.hidden, state.cell)
    for _ in range(3):
        inputs, reads = random(generator, batch, input_size), random(generator, batch, read_size)
        hidden, _, state = stepped(controller, inputs, state, reads)
        expected = cell(torch.cat([inputs, reads], 1), expected)
        for found, right in ((hidden, expected[0]), (state.hidden, expected[0]), (state.cell, expected[1])):
            numpy.testing.assert_allclose(found.detach().numpy(), right.detach().numpy(), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(**SIZES, seed=st.integers(0, 1000))
def test_the_gru_is_torchs_with_input_and_reads_side_by_side(
    batch: int, input_size: int, read_size: int, hidden_size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    controller = randomised(GRUController(input_size, read_size, hidden_size), generator)
    cell = nn.GRUCell(input_size + read_size, hidden_size, dtype=torch.float64)
    with torch.no_grad():
        gate_rows(cell, torch.cat([controller.input.weight, controller.read], 1), controller.recurrent)
        cell.bias_ih.copy_(controller.input.bias)
        cell.bias_hh.copy_(controller.recurrent_bias)
    state = GRUState(random(generator, batch, hidden_size))
    expected = state.hidden
    for _ in range(3):
        inputs, reads = random(generator, batch, input_size), random(generator, batch, read_size)
        hidden, _, state = stepped(controller, inputs, state, reads)
        expected = cell(torch.cat([inputs, reads], 1), expected)
        for found in (hidden, state.hidden):
            numpy.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(**SIZES, seed=st.integers(0, 1000), activation=st.sampled_from(["relu", "tanh"]))
def test_the_feed_forward_controller_is_one_layer_of_sums_rectified_or_through_tanh(
    batch: int, input_size: int, read_size: int, hidden_size: int, seed: int, activation: Activation
) -> None:
    generator = torch.Generator().manual_seed(seed)
    controller = FeedForwardController(input_size, read_size, hidden_size, activation=activation)
    controller = randomised(controller, generator)
    inputs, reads = random(generator, batch, input_size), random(generator, batch, read_size)
    hidden, _, state = stepped(controller, inputs, (), reads)
    expected = numpy.zeros((batch, hidden_size))
    weight, bias = controller.input.weight.detach().numpy(), controller.input.bias.detach().numpy()
    recurrent = controller.recurrent.detach().numpy()
    for b, h in numpy.ndindex(batch, hidden_size):
        total = bias[h]
        total += sum(weight[h, i] * float(inputs[b, i]) for i in range(input_size))
        total += sum(recurrent[h, r] * float(reads[b, r]) for r in range(read_size))
        expected[b, h] = max(total, 0) if activation == "relu" else math.tanh(total)
    assert state == ()
    numpy.testing.assert_allclose(hidden.detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", list(CONTROLLERS))
def test_each_layer_of_a_stack_receives_input_reads_and_the_layer_below(name: str, layers: int) -> None:
    generator = torch.Generator().manual_seed(layers)
    stack = randomised(StackedController(CONTROLLERS[name], layers, 3, 2, 4), generator)
    state = stack.initial_state(5, torch.zeros(1, dtype=torch.float64))
    separate = list(state)
    for _ in range(3):
        inputs, reads = random(generator, 5, 3), random(generator, 5, 2)
        hidden, _, state = stepped(stack, inputs, state, reads)
        below = None
        for number, layer in enumerate(stack.layers):
            lower = reads if below is None else torch.cat([reads, below], 1)
            below, _, separate[number] = stepped(layer, inputs, separate[number], lower)
        assert below is not None and torch.equal(hidden, below)
    assert all(torch.equal(one, other) for one, other in zip(leaves(state), leaves(tuple(separate)), strict=True))


@pytest.mark.parametrize("name", list(CONTROLLERS))
@pytest.mark.parametrize("layers", [1, 3])
def test_a_step_returns_the_input_of_each_weight(name: str, layers: int) -> None:
    """The gradient of each weight, from its input as the step returns it, matches autograd."""
    generator = torch.Generator().manual_seed(0)
    controller = randomised(controller_kind(name, layers)(3, 2, 4), generator)
    state = map_leaves(
        lambda leaf: random(generator, *leaf.shape), controller.initial_state(5, torch.zeros(1, dtype=torch.float64))
    )
    added = tuple(part.detach().requires_grad_() for part in controller.project(affine, random(generator, 5, 3)))
    weights = controller.weights()
    hidden, used, _ = controller.step(weights, added, state, random(generator, 5, 2))
    assert len(used) == len(weights) == len(added)
    hidden.square().sum().backward()
    for weight, inputs, part in zip(weights, used, added, strict=True):
        assert part.grad is not None
        numpy.testing.assert_allclose((part.grad.T @ inputs).detach().numpy(), weight.grad.numpy(), atol=1e-12)


def leaves(state: Any) -> list[torch.Tensor]:
    """Return all tensors of a state."""
    return leaves_of(state)


def test_a_new_lstm_depends_on_its_inputs_more_than_on_the_step_before() -> None:
    controller = LSTMController(3, 2, 100)
    assert controller.input.bias.tolist() == [0.0] * 100 + [-1.0] * 100 + [0.0] * 200
    before, reads = controller.recurrent.split([100, 2], 1)
    assert 0.005 < before.abs().max() < 0.0101 and 0.05 < reads.abs().max() < 0.101


def test_an_open_forget_gate_and_a_shut_input_gate_keep_the_cell() -> None:
    controller = LSTMController(1, 1, 2)
    shut, wide = [-100.0] * 2, [100.0] * 2
    preactivations = torch.tensor([[*shut, *wide, 3.0, 3.0, *wide]])
    nothing = (torch.zeros_like(controller.recurrent),)
    before = LSTMState(torch.zeros(1, 2), torch.tensor([[0.5, -2.0]]))
    _, _, state = controller.step(nothing, (preactivations,), before, torch.zeros(1, 1))
    assert state.cell.tolist() == [[0.5, -2.0]]
    assert state.hidden.tolist() == [pytest.approx([numpy.tanh(0.5), numpy.tanh(-2)])]


def test_a_new_gru_depends_on_its_inputs_more_than_on_the_step_before() -> None:
    controller = GRUController(3, 2, 100)
    assert controller.input.bias.tolist() == [0.0] * 100 + [-3.0] * 100 + [0.0] * 100
    assert 0.005 < controller.recurrent.abs().max() < 0.0101 and 0.05 < controller.read.abs().max() < 0.101


@pytest.mark.parametrize("name", list(CONTROLLERS))
@pytest.mark.parametrize("layers", [1, 2])
def test_all_steps_are_projected_at_once_as_one_by_one(name: str, layers: int) -> None:
    controller = controller_kind(name, layers)(3, 2, 4)
    inputs = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    together = controller.project(affine, inputs.flatten(0, 1))
    for step in range(5):
        for whole, part in zip(together, controller.project(affine, inputs[step]), strict=True):
            torch.testing.assert_close(whole.unflatten(0, (5, 2))[step], part)


@pytest.mark.parametrize("name", list(CONTROLLERS))
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_changes_nothing_in_place_and_starts_from_nothing(name: str, layers: int) -> None:
    controller: Any = controller_kind(name, layers)(3, 2, 4).double()  # pyright: ignore[reportAttributeAccessIssue]
    state = controller.initial_state(2, torch.zeros(1, dtype=torch.float64))
    assert all(part.shape == (2, 4) and part.dtype == torch.float64 and not part.any() for part in leaves(state))
    reads = torch.ones(2, 2, dtype=torch.float64)
    preactivations = controller.project(affine, torch.randn(2, 3, dtype=torch.float64))
    before = [part.clone() for part in preactivations]
    controller.step(controller.weights(), preactivations, state, reads)
    assert all(torch.equal(one, other) for one, other in zip(preactivations, before, strict=True))
    assert not any(part.any() for part in leaves(state))


@pytest.mark.parametrize("layers", [1, 2])
def test_with_initial_biases_half_of_the_units_are_active_without_input(layers: int) -> None:
    hidden = []
    for initial_biases in (0.0, 0.5):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            controller = controller_kind("feedforward", layers, initial_biases)(3, 2, 400)
        added = controller.project(affine, torch.zeros(1, 3))
        state = controller.initial_state(1, torch.zeros(()))
        hidden.append(controller.step(controller.weights(), added, state, torch.zeros(1, 2))[0])
    assert hidden[0].count_nonzero() == 0
    assert 130 < hidden[1].count_nonzero() < 270


def test_units_of_tanh_start_with_a_tenth_of_the_read_weights_and_otherwise_alike() -> None:
    weights = {}
    activations: tuple[Activation, ...] = ("relu", "tanh")
    for activation in activations:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            controller: Any = controller_kind("feedforward", activation=activation)(3, 2, 400)
        weights[activation] = controller.input.weight, *controller.weights()
    assert torch.equal(weights["tanh"][0], weights["relu"][0])
    torch.testing.assert_close(weights["tanh"][1], 0.1 * weights["relu"][1])


@pytest.mark.parametrize(("activation", "likeness"), [("relu", 1 / math.pi), ("tanh", 0.0)])
def test_outputs_of_tanh_for_unrelated_inputs_are_uncorrelated(activation: Activation, likeness: float) -> None:
    """The rectified outputs for unrelated inputs have a cosine of 1 / pi (Cho and Saul 2009, arc-cosine kernel)."""
    generator = torch.Generator().manual_seed(0)
    controller: Any = FeedForwardController(200, 2, 2000, activation=activation)
    with torch.no_grad():
        controller.input.weight.normal_(generator=generator)
        inputs = torch.randn(40, 200, generator=generator)
        hidden = stepped(controller, inputs, (), torch.zeros(40, 2))[0]
    cosines = nn.functional.cosine_similarity(hidden[:, None], hidden[None], dim=-1)
    unlike = cosines[~torch.eye(40, dtype=torch.bool)]
    assert abs(float(unlike.mean()) - likeness) < 0.02
