"""A traced step, with weight gradients computed after all steps, against the plain unrolling and its gradients."""

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann.addressing import LRUA, NTM
from mann.addressing.scheme import Scheme
from mann.fast import products
from mann.fast.compiled_step import inductor, interpreted
from mann.fast.compiled_unrolling import RECOMPUTE_FROM, CompiledUnrolling
from mann.models.controllers import CONTROLLERS
from mann.models.unrolling import plain
from tests.mann.fast.networks import (
    PAPER,
    TRAINED,
    assert_equal,
    build,
    compiled_once,
    numbers,
    outcome,
    sequence,
    shards,
    uncompiled,
)


@settings(deadline=None, max_examples=8)
@given(
    time=st.integers(1, 10),
    batch=st.integers(1, 3),
    hidden_size=st.integers(1, 4),
    scheme=st.sampled_from(
        [PAPER, TRAINED, LRUA(read_heads=1), LRUA(read_heads=2, write_heads="one"), NTM(), NTM(read_heads=2)]
    ),
    controller=st.sampled_from(list(CONTROLLERS)),
)
def test_values_and_gradients_equal_the_plain_unrolling(
    time: int, batch: int, hidden_size: int, scheme: Scheme, controller: str
) -> None:
    network = build(scheme, "lstm" if hidden_size < 4 else controller, torch.float64, hidden_size)
    expected = outcome(network, plain, time, batch, torch.float64)
    compile_step = compiled_once(interpreted)
    for number, recompute_from in product((1, batch), (RECOMPUTE_FROM, 0)):
        unroll = CompiledUnrolling(compile_step, shards(number), recompute_from)
        # The initial memory of 1e-6 makes single gradients large: it is the relative error that counts.
        assert_equal(expected, outcome(network, unroll, time, batch, torch.float64), 1e-12)


@pytest.mark.parametrize("loops_from", [1, 10**9])
@pytest.mark.parametrize("controller", list(CONTROLLERS))
def test_under_autocast_gradients_are_close_to_those_of_the_plain_unrolling(
    controller: str, loops_from: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if loops_from == 1:
        request.getfixturevalue("cxx_compiler")
    monkeypatch.setattr(products, "LOOPS_FROM", loops_from)
    network = build(TRAINED, controller, torch.float32)
    gradients = []
    for unroll in (plain, uncompiled()):
        network.unroll = unroll
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            outputs, _ = network(sequence(3, 2, torch.float32))
            loss = outputs.float().square().sum()
        loss.backward()
        gradients.append(network.output.weight.grad)
    torch.testing.assert_close(*gradients, atol=0.1, rtol=0.1)


def test_only_weights_that_require_a_gradient_get_one() -> None:
    network = build(TRAINED, "lstm", torch.float64)
    expected = outcome(network, plain, 4, 2, torch.float64)
    network.interface.weight.requires_grad_(False)
    network.controller.weights()[0].requires_grad_(False)
    network.unroll = uncompiled()
    network.zero_grad(set_to_none=True)
    first, state = network(sequence(4, 2, torch.float64))
    second, state = network(sequence(4, 2, torch.float64).flip(0), state)
    loss = torch.cat([first, second]).square().sum()
    (loss + sum(leaf.sum() for leaf in (state.memory, state.reads, *state.controller))).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected.gradients[name])
        else:
            assert parameter.grad is None


def test_gradients_add_up_over_two_backward_passes() -> None:
    gradients = []
    for unroll in (plain, uncompiled()):
        network = build(TRAINED, "lstm", torch.float64)
        network.unroll = unroll
        outputs, _ = network(sequence(5, 2, torch.float64))
        outputs.sum().backward(retain_graph=True)
        outputs[2].square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_a_state_may_stay_the_same_or_be_of_whole_numbers() -> None:
    def step(weights: Any, preactivations: Any, state: Any) -> Any:
        hidden, factor, count = state
        after = torch.addmm(preactivations[0], hidden, weights[0].T).tanh() * factor + count
        return after, (hidden,), (after, factor, count + 1)

    outcomes = []
    for unroll in (plain, uncompiled()):
        start = (numbers(2, 3).requires_grad_(), (numbers(2, 3) + 1).requires_grad_(), torch.tensor([[1], [2]]))
        leaves = [numbers(3, 3).requires_grad_(), numbers(4, 2, 3).requires_grad_(), *start[:2]]
        features, state = unroll(step, (leaves[0],), (leaves[1],), start)
        assert state[2].tolist() == [[5], [6]]
        torch.testing.assert_close(state[1], start[1])
        (features.square().sum() + (state[0] * state[1]).sum()).backward()
        outcomes.append([features.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(other, one)


def test_a_memory_may_be_recomputed_from_another_recomputed_leaf() -> None:
    def step(weights: Any, preactivations: Any, state: Any) -> Any:
        hidden, trace, links = state
        hidden = torch.addmm(preactivations[0], hidden, weights[0].T).tanh()
        trace = trace * hidden[:, :1].sigmoid() + 0.1
        links = links * trace + trace.square()
        return hidden * links.sum(-1, keepdim=True), (state[0],), (hidden, trace, links)

    outcomes = []
    for unroll in (plain, uncompiled(recompute_from=0)):
        leaves = [numbers(3, 3), numbers(10, 2, 3), numbers(2, 3), numbers(2, 2), numbers(2, 7)]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        features, state = unroll(step, (leaves[0],), (leaves[1],), (leaves[2], leaves[3][:, :1], leaves[4]))
        (features.square().sum() + sum(leaf.sum() for leaf in state)).backward()
        outcomes.append([features.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(other, one)


def test_a_compiled_backward_pass_runs_again_if_the_graph_is_retained(cxx_compiler: None) -> None:
    def step(weights: Any, preactivations: Any, state: Any) -> Any:
        after = torch.addmm(preactivations[0], state, weights[0].T).tanh()
        return after * state, (state,), after

    leaves = [numbers(*size).float().requires_grad_() for size in ((3, 3), (9, 2, 3), (2, 3))]
    compile_step, outcomes = compiled_once(inductor), []
    recomputing = CompiledUnrolling(compile_step, recompute_from=0)
    for unroll in (plain, CompiledUnrolling(compile_step), recomputing):
        features, _ = unroll(step, (leaves[0],), (leaves[1],), leaves[2])
        first = torch.autograd.grad(features.sum(), leaves, retain_graph=True)
        outcomes.append((first, torch.autograd.grad(features[3:].square().sum(), leaves)))
        with pytest.raises(RuntimeError, match="second time"):
            features.sum().backward()
    torch.testing.assert_close(outcomes[1], outcomes[0])
    torch.testing.assert_close(outcomes[2], outcomes[0])


def test_second_derivatives_raise_an_error() -> None:
    network = build(TRAINED, "lstm", torch.float64)
    network.unroll = uncompiled()
    outputs, _ = network(sequence(3, 1, torch.float64))
    (gradient,) = torch.autograd.grad(outputs.square().sum(), network.controller.weights()[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
