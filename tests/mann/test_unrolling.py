"""The fast way through time equals the plain one: values, states and all gradients."""

import contextvars
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
import torch._inductor.cpp_builder as cpp_builder
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._inductor.exc import InvalidCxxCompiler
from torch.utils import _pytree as pytree

from mann import products
from mann.addressing import LRUA
from mann.controllers import CONTROLLERS
from mann.network import MemoryNetwork
from mann.unrolling import Compiled, _through_time, fast, plain

PAPER = LRUA(read_heads=2)
TRAINED = LRUA(read_heads=2, key_strength=2.0, write_vector="add", least_used="own")


# While it compiles, torch warns of its own code and hides most of it: as an error it cannot be hidden.
COMPILING = pytest.mark.filterwarnings("ignore")


class Outcome(NamedTuple):
    """Of two sequences, the second one going on from the first: values, and gradients of a loss on all of them."""

    outputs: Tensor
    state: Any
    gradients: dict[str, Tensor]


def build(scheme: LRUA, controller: str, dtype: torch.dtype, hidden_size: int = 4) -> MemoryNetwork:
    """Return a small network with biases of some size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MemoryNetwork(3, 2, scheme, CONTROLLERS[controller], hidden_size, 5, 3).to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return network


def sequence(time: int, batch: int, dtype: torch.dtype) -> Tensor:
    """Return inputs [time, batch, 3]."""
    return torch.randn(time, batch, 3, generator=torch.Generator().manual_seed(time), dtype=torch.float64).to(dtype)


def outcome(network: MemoryNetwork, unroll: Any, time: int, batch: int, dtype: torch.dtype) -> Outcome:
    """Run two sequences through the network and differentiate."""
    network.unroll = unroll
    network.zero_grad()
    inputs = sequence(time, batch, dtype).requires_grad_()
    before = pytree.tree_map(lambda leaf: leaf.clone(), network.initial_state(batch, inputs))
    first, between = network(inputs)
    second, state = network(inputs.flip(0), between)
    outputs = torch.cat([first, second])
    loss = outputs.square().sum() + sum(leaf.sum() for leaf in (state.memory, state.reads, *state.controller))
    loss.backward()
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            pytree.tree_leaves(before), pytree.tree_leaves(network.initial_state(batch, inputs)), strict=True
        )
    )
    gradients = {"inputs": inputs.grad, **{name: value.grad for name, value in network.named_parameters()}}
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients.values())
    return Outcome(outputs.detach(), state, gradients)  # pyright: ignore[reportArgumentType]


def assert_equal(one: Outcome, other: Outcome, tolerance: float) -> None:
    """Compare values, states and gradients."""
    torch.testing.assert_close(one.outputs, other.outputs, atol=tolerance, rtol=tolerance)
    for left, right in zip(pytree.tree_leaves(one.state), pytree.tree_leaves(other.state), strict=True):
        torch.testing.assert_close(left, right, atol=tolerance, rtol=tolerance)
    for name, gradient in one.gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(
            other.gradients[name], gradient, atol=tolerance * max(scale, 1), rtol=tolerance, msg=name
        )


def uncompiled(piece: int) -> Compiled:
    """Return the fast way without compiling: pieces, and weight gradients afterwards."""
    unroll = Compiled(piece)
    unroll._run = _through_time
    return unroll


@pytest.fixture(scope="module")
def forget_compiled() -> Iterator[None]:
    """Drop what was compiled, before and after."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")
@pytest.mark.parametrize(
    ("scheme", "controller"), [pytest.param(TRAINED, "lstm", id="lstm"), pytest.param(PAPER, "feedforward", id="ff")]
)
@pytest.mark.usefixtures("forget_compiled")
@COMPILING
def test_compiled_pieces_equal_the_plain_way(scheme: LRUA, controller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LARGE", 1)
    # 7 steps in pieces of 2 leave a rest; the second sequence starts from the first one's state.
    network = build(scheme, controller, torch.float32)
    expected = outcome(network, plain, 7, 2, torch.float32)
    unroll = Compiled(2)
    assert_equal(expected, outcome(network, unroll, 7, 2, torch.float32), 1e-5)
    # Once more, now that everything is compiled, and without recording gradients.
    assert_equal(expected, outcome(network, unroll, 7, 2, torch.float32), 1e-5)
    with torch.no_grad():
        outputs, _ = network(sequence(7, 2, torch.float32))
    torch.testing.assert_close(outputs, expected.outputs[:7], atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    time=st.integers(1, 7),
    batch=st.integers(1, 3),
    piece=st.integers(1, 8),
    hidden_size=st.integers(1, 4),
    scheme=st.sampled_from([PAPER, TRAINED, LRUA(read_heads=1), LRUA(read_heads=2, write_heads="one")]),
    controller=st.sampled_from(list(CONTROLLERS)),
)
def test_pieces_and_weight_gradients_afterwards_equal_the_plain_way(
    time: int, batch: int, piece: int, hidden_size: int, scheme: LRUA, controller: str
) -> None:
    network = build(scheme, "lstm" if hidden_size < 4 else controller, torch.float64, hidden_size)
    # The initial memory of 1e-6 makes single gradients large; what counts is their relative error.
    assert_equal(
        outcome(network, plain, time, batch, torch.float64),
        outcome(network, uncompiled(piece), time, batch, torch.float64),
        1e-12,
    )


@pytest.mark.parametrize("large", [1, 10**9])
@pytest.mark.parametrize("controller", list(CONTROLLERS))
def test_the_fast_way_trains_under_autocast_as_the_plain_one_does(
    controller: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", large)
    network = build(TRAINED, controller, torch.float32)
    gradients = []
    for unroll in (plain, uncompiled(2)):
        network.unroll = unroll
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            outputs, _ = network(sequence(3, 2, torch.float32))
            loss = outputs.float().square().sum()
        loss.backward()
        gradients.append(network.output.weight.grad)
    torch.testing.assert_close(*gradients, atol=0.1, rtol=0.1)


def test_weight_gradients_afterwards_are_those_of_the_parameters_that_ask_for_them() -> None:
    network = build(TRAINED, "lstm", torch.float64)
    expected = outcome(network, plain, 4, 2, torch.float64)
    network.interface.weight.requires_grad_(False)
    network.controller.weights()[0].requires_grad_(False)
    network.unroll = uncompiled(3)
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


def test_gradients_add_up_over_two_backward_passes_as_in_the_plain_way() -> None:
    gradients = []
    for unroll in (plain, uncompiled(2)):
        network = build(TRAINED, "lstm", torch.float64)
        network.unroll = unroll
        outputs, _ = network(sequence(5, 2, torch.float64))
        outputs.sum().backward(retain_graph=True)
        outputs[2].square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_nothing_is_compiled_while_no_gradients_are_recorded() -> None:
    def refuse(step: Any, weights: Any, preactivations: Any, state: Any) -> Any:
        raise AssertionError("compiled")

    network = build(TRAINED, "lstm", torch.float32)
    with torch.no_grad():
        expected, _ = network(sequence(7, 2, torch.float32))
        unroll = Compiled(3)
        unroll._run = refuse
        network.unroll = unroll
        outputs, _ = network(sequence(7, 2, torch.float32))
    assert torch.equal(outputs, expected)
    with pytest.raises(AssertionError, match="compiled"):
        network(sequence(7, 2, torch.float32))


def test_whole_pieces_are_compiled_and_the_rest_is_not() -> None:
    lengths = []

    def record(step: Any, weights: Any, preactivations: Any, state: Any) -> Any:
        lengths.append(len(preactivations[0]))
        return _through_time(step, weights, preactivations, state)

    network = build(TRAINED, "lstm", torch.float32)
    unroll = Compiled(3)
    unroll._run = record
    network.unroll = unroll
    for time in (7, 6, 2):
        network(sequence(time, 2, torch.float32))
    assert lengths == [3, 3, 3, 3]


def test_second_derivatives_are_refused_not_wrong() -> None:
    network = build(TRAINED, "lstm", torch.float64)
    network.unroll = uncompiled(2)
    outputs, _ = network(sequence(3, 1, torch.float64))
    (gradient,) = torch.autograd.grad(outputs.square().sum(), network.controller.weights()[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.usefixtures("forget_compiled")
@COMPILING
def test_one_process_can_compile_many_networks() -> None:
    # Torch stops at 8 variants of a function unless told otherwise: that would be 4 networks.
    for hidden_size in range(1, 7):
        network = build(LRUA(read_heads=1), "feedforward", torch.float32, hidden_size)
        unroll = Compiled(1)
        unroll._run = torch.compile(_through_time, fullgraph=True, dynamic=False, backend="eager")
        network.unroll = unroll
        network(sequence(2, 1, torch.float32))


@pytest.mark.usefixtures("forget_compiled")
@COMPILING
def test_longer_sequences_are_made_of_the_pieces_that_are_compiled_already() -> None:
    pieces = []

    def noted(graph: Any, _: Any) -> Any:
        pieces.append(graph)
        return graph.forward

    network = build(TRAINED, "lstm", torch.float32)
    unroll = Compiled(2)
    unroll._run = torch.compile(_through_time, fullgraph=True, dynamic=False, backend=noted)
    network.unroll = unroll
    counts = []
    for time in (4, 6, 20):
        network(sequence(time, 2, torch.float32))
        counts.append(len(pieces))
    assert counts == [2, 2, 2]  # from a blank memory, and from what an earlier piece left


def test_without_a_compiler_there_is_a_warning_and_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler.*install g\+\+"):
        assert fast() is plain


def test_with_a_compiler_the_fast_way_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: "g++")
    unroll = fast(4)
    assert isinstance(unroll, Compiled) and unroll.piece == 4


def test_calls_leave_nothing_behind() -> None:
    weight = torch.randn(3, 3, requires_grad=True)
    compiled = Compiled(piece=5)

    def step(weights: Any, now: Any, state: Any) -> Any:
        hidden = torch.addmm(now[0], state, weights[0].T).tanh()
        return hidden, (state,), hidden

    def held() -> int:
        compiled(step, (weight,), (torch.randn(4, 2, 3),), torch.zeros(2, 3))
        return len(contextvars.copy_context())

    assert len({held() for _ in range(5)}) == 1
