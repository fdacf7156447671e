"""The fast way through time equals the plain one: values, states and all gradients."""

import contextvars
import gc
import weakref
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torch._inductor.cpp_builder as cpp_builder
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._inductor.exc import InvalidCxxCompiler
from torch._inductor.utils import fresh_cache
from torch.profiler import ProfilerActivity, profile
from torch.utils import _pytree as pytree

from mann.addressing import LRUA, NTM, SCHEMES
from mann.addressing.scheme import Scheme
from mann.fast import lowering, products
from mann.fast import through_time as unrolling
from mann.fast.compiled_step import CompiledStep, interpreted
from mann.fast.products import turned
from mann.fast.through_time import Compiled, fast, plain
from mann.models.controllers import CONTROLLERS
from mann.models.network import MemoryNetwork

PAPER = LRUA(read_heads=2)
OWN = LRUA(read_heads=2, least_used="own")
"""With `PAPER`, two slots hold the same from the first write on, and rounding says which is used less."""
TRAINED = LRUA(read_heads=2, key_strength=2.0, write_vector="add", least_used="own")


class Outcome(NamedTuple):
    """Of two sequences, the second one going on from the first: values, and gradients of a loss on all of them."""

    outputs: Tensor
    state: Any
    gradients: dict[str, Tensor]


def build(scheme: Scheme, controller: str, dtype: torch.dtype, hidden_size: int = 4) -> MemoryNetwork:
    """Return a small network with biases of some size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MemoryNetwork(3, 2, scheme, CONTROLLERS[controller], hidden_size, 5, 3).to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return network


def numbers(*size: int) -> Tensor:
    """Return the same random numbers for the same size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=torch.float64)


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


def uncompiled() -> Compiled:
    """Return the fast way without compiling: a traced step, and weight gradients afterwards."""
    return Compiled(partial(CompiledStep, compiler=interpreted))


def counted() -> tuple[Compiled, list[Any]]:
    """Return `uncompiled`, and a list that has an entry for each step that was traced."""
    made = []

    def noted(*arguments: Any) -> CompiledStep:
        made.append(arguments)
        return CompiledStep(*arguments, compiler=interpreted)

    return Compiled(noted), made


@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize(
    ("scheme", "controller"), [pytest.param(TRAINED, "lstm", id="lstm"), pytest.param(OWN, "feedforward", id="ff")]
)
@pytest.mark.parametrize("again", [pytest.param(False, id="kept"), pytest.param(True, id="made again")])
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_compiled_step_equals_the_plain_way(
    scheme: LRUA, controller: str, again: bool, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", 1)
    monkeypatch.setattr(unrolling, "_lanes", lambda batch, device: lanes)
    if again:
        monkeypatch.setattr(unrolling, "WORTH_MAKING_AGAIN", 0)
    # The second sequence starts from the first one's state.
    network = build(scheme, controller, torch.float32)
    expected = outcome(network, plain, 7, 2, torch.float32)
    unroll = Compiled()
    assert_equal(expected, outcome(network, unroll, 7, 2, torch.float32), 1e-5)
    # Once more, now that everything is compiled, and without recording gradients.
    assert_equal(expected, outcome(network, unroll, 7, 2, torch.float32), 1e-5)
    with torch.no_grad():
        outputs, _ = network(sequence(7, 2, torch.float32))
    torch.testing.assert_close(outputs, expected.outputs[:7], atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_compiled_to_what_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = SCHEMES[name]()
    monkeypatch.setattr(unrolling, "WORTH_MAKING_AGAIN", 0)
    network = build(scheme, "lstm", torch.float32)
    gradients = []
    for unroll in (plain, Compiled()):
        network.unroll = unroll
        network.zero_grad()
        outputs, _ = network(sequence(6, 2, torch.float32))
        outputs.square().sum().backward()
        gradients.append([outputs.detach(), *(value.grad for value in network.parameters())])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5 * max(1, float(one.abs().max())), rtol=1e-4)


@settings(deadline=None, max_examples=40)
@given(
    time=st.integers(1, 10),
    batch=st.integers(1, 3),
    hidden_size=st.integers(1, 4),
    scheme=st.sampled_from(
        [PAPER, TRAINED, LRUA(read_heads=1), LRUA(read_heads=2, write_heads="one"), NTM(), NTM(read_heads=2)]
    ),
    controller=st.sampled_from(list(CONTROLLERS)),
    again=st.booleans(),
    apart=st.booleans(),
)
def test_a_traced_step_and_weight_gradients_afterwards_equal_the_plain_way(
    time: int, batch: int, hidden_size: int, scheme: Scheme, controller: str, again: bool, apart: bool
) -> None:
    network = build(scheme, "lstm" if hidden_size < 4 else controller, torch.float64, hidden_size)
    expected = outcome(network, plain, time, batch, torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        if again:
            patch.setattr(unrolling, "WORTH_MAKING_AGAIN", 0)
        if apart:
            patch.setattr(unrolling, "_lanes", lambda batch, device: batch)
        found = outcome(network, uncompiled(), time, batch, torch.float64)
    # The initial memory of 1e-6 makes single gradients large; what counts is their relative error.
    assert_equal(expected, found, 1e-12)


@pytest.mark.parametrize("large", [1, 10**9])
@pytest.mark.parametrize("controller", list(CONTROLLERS))
def test_the_fast_way_trains_under_autocast_as_the_plain_one_does(
    controller: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", large)
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


def test_weight_gradients_afterwards_are_those_of_the_parameters_that_ask_for_them() -> None:
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


def test_gradients_add_up_over_two_backward_passes_as_in_the_plain_way() -> None:
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


def test_without_gradients_a_size_is_run_as_it_was_compiled_or_else_the_plain_way() -> None:
    unroll, made = counted()
    network = build(TRAINED, "lstm", torch.float32)
    with torch.no_grad():
        expected, _ = network(sequence(7, 2, torch.float32))
        network.unroll = unroll
        outputs, _ = network(sequence(7, 2, torch.float32))
    assert torch.equal(outputs, expected) and not made
    network(sequence(3, 2, torch.float32))
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("mann.fast.through_time.plain", None)
        outputs, _ = network(sequence(7, 2, torch.float32))
        assert not outputs.requires_grad
        torch.testing.assert_close(outputs, expected)
    assert len(made) == 1


def test_a_step_is_compiled_for_each_size_but_not_for_each_length() -> None:
    unroll, made = counted()
    network = build(TRAINED, "lstm", torch.float32)
    network.unroll = unroll
    counts = []
    for time, batch in ((4, 2), (6, 2), (1, 2), (4, 3), (4, 2)):
        outputs, state = network(sequence(time, batch, torch.float32))
        network(outputs.new_zeros(2, batch, 3), state)  # from a state that was handed on
        counts.append(len(made))
    assert counts == [1, 1, 1, 2, 2]


def test_a_step_is_compiled_for_the_threads_that_share_a_call() -> None:
    unroll, made = counted()
    network = build(TRAINED, "lstm", torch.float32)
    network.unroll = unroll
    for threads, batch in ((2, 4), (2, 3), (2, 3), (1, 3), (1, 2), (2, 4)):
        torch.set_num_threads(threads)
        network(sequence(2, batch, torch.float32))
    # Of a batch of 4 each thread takes a half; one of 3 is taken whole by both.
    assert [(len(now[0]), threads) for _, _, now, _, threads in made] == [(2, 1), (3, 2), (3, 1)]


def test_a_tensor_that_the_step_was_not_given_is_refused_not_built_in() -> None:
    hidden = torch.ones(2, 3)

    def step(weights: Any, now: Any, state: Any) -> Any:
        after = torch.addmm(now[0], state, weights[0].T) * hidden
        return after, (state,), after

    with pytest.raises(AssertionError, match="FakeTensor"):
        CompiledStep(step, (torch.ones(3, 3),), (torch.ones(2, 3),), torch.zeros(2, 3), compiler=interpreted)


def test_a_state_may_stay_as_it_is_or_be_of_whole_numbers() -> None:
    def step(weights: Any, now: Any, state: Any) -> Any:
        hidden, kept, count = state
        after = torch.addmm(now[0], hidden, weights[0].T).tanh() * kept + count
        return after, (hidden,), (after, kept, count + 1)

    weight, now = numbers(3, 3), numbers(4, 2, 3)
    outcomes = []
    for unroll in (plain, uncompiled()):
        start = (numbers(2, 3).requires_grad_(), (numbers(2, 3) + 1).requires_grad_(), torch.tensor([[1], [2]]))
        leaves = [weight.clone().requires_grad_(), now.clone().requires_grad_(), *start[:2]]
        features, state = unroll(step, (leaves[0],), (leaves[1],), start)
        assert state[2].tolist() == [[5], [6]]
        torch.testing.assert_close(state[1], start[1])
        (features.square().sum() + (state[0] * state[1]).sum()).backward()
        outcomes.append([features.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(other, one)


def kept_memories(network: MemoryNetwork, time: int) -> tuple[Tensor, list[weakref.ref[Tensor]]]:
    """Return the outputs for a sequence, and the memories that are kept for its way back."""
    network(sequence(time, 2, torch.float32))  # traced
    memories: list[weakref.ref[Tensor]] = []

    def packed(tensor: Tensor) -> Tensor:
        held = tensor.detach()
        if tensor.shape == (2, 5, 3):
            memories.append(weakref.ref(held))
        return held

    with torch.autograd.graph.saved_tensors_hooks(packed, lambda tensor: tensor):
        return network(sequence(time, 2, torch.float32))[0], memories


@pytest.mark.parametrize("name", SCHEMES)
def test_of_many_memories_few_are_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {"read_heads": 1} if hasattr(SCHEMES[name], "read_heads") else {}
    network = build(SCHEMES[name](**heads), "lstm", torch.float32)
    network.unroll = uncompiled()
    assert len(kept_memories(network, 20)[1]) == 21
    monkeypatch.setattr(unrolling, "WORTH_MAKING_AGAIN", 0)
    assert len(kept_memories(network, 20)[1]) == 6  # at every fourth step, and at the end


@pytest.mark.parametrize("name", SCHEMES)
def test_of_an_order_of_slots_no_more_is_kept_than_what_is_needed(name: str) -> None:
    network = MemoryNetwork(3, 2, SCHEMES[name](), CONTROLLERS["lstm"], hidden_size=4, slots=40, word_size=3)
    network.unroll = uncompiled()
    unneeded = []

    def noted(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() and tensor.untyped_storage().nbytes() > tensor.nbytes:
            unneeded.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(noted, lambda tensor: tensor):
        network(sequence(40, 2, torch.float32))
    assert not unneeded


def test_a_memory_may_be_made_from_another_leaf_that_is_made_again_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(weights: Any, now: Any, state: Any) -> Any:
        hidden, trace, links = state
        hidden = torch.addmm(now[0], hidden, weights[0].T).tanh()
        trace = trace * hidden[:, :1].sigmoid() + 0.1
        links = links * trace + trace.square()
        return hidden * links.sum(-1, keepdim=True), (state[0],), (hidden, trace, links)

    monkeypatch.setattr(unrolling, "WORTH_MAKING_AGAIN", 0)
    outcomes = []
    for unroll in (plain, uncompiled()):
        leaves = [numbers(3, 3), numbers(10, 2, 3), numbers(2, 3), numbers(2, 2), numbers(2, 7)]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        features, state = unroll(step, (leaves[0],), (leaves[1],), tuple(leaves[2:3]) + (leaves[3][:, :1], leaves[4]))
        (features.square().sum() + sum(leaf.sum() for leaf in state)).backward()
        outcomes.append([features.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize("limit", [2**26, 0])
def test_a_compiled_way_back_is_gone_once_more_where_what_it_needs_is_retained(
    limit: int, cxx_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(weights: Any, now: Any, state: Any) -> Any:
        after = torch.addmm(now[0], state, weights[0].T).tanh()
        return after * state, (state,), after

    monkeypatch.setattr(unrolling, "WORTH_MAKING_AGAIN", limit)
    leaves = [numbers(*size).float().requires_grad_() for size in ((3, 3), (9, 2, 3), (2, 3))]
    outcomes = []
    for unroll in (plain, Compiled()):
        features, _ = unroll(step, (leaves[0],), (leaves[1],), leaves[2])
        once = torch.autograd.grad(features.sum(), leaves, retain_graph=True)
        outcomes.append((once, torch.autograd.grad(features[3:].square().sum(), leaves)))
        with pytest.raises(RuntimeError, match="second time"):
            features.sum().backward()
    torch.testing.assert_close(outcomes[1], outcomes[0])


@pytest.mark.parametrize("backward", [True, False])
def test_what_is_kept_for_the_way_back_is_freed_with_it_or_with_the_outputs(backward: bool) -> None:
    network = build(TRAINED, "lstm", torch.float32)
    network.unroll = uncompiled()
    outputs, memories = kept_memories(network, 5)
    assert len(memories) >= 5
    if backward:
        outputs.sum().backward()
    else:
        del outputs
    gc.collect()
    assert not [memory for memory in memories if memory() is not None]


def test_second_derivatives_are_refused_not_wrong() -> None:
    network = build(TRAINED, "lstm", torch.float64)
    network.unroll = uncompiled()
    outputs, _ = network(sequence(3, 1, torch.float64))
    (gradient,) = torch.autograd.grad(outputs.square().sum(), network.controller.weights()[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_without_a_compiler_there_is_a_warning_and_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler.*install g\+\+"):
        assert fast() is plain


def test_with_a_compiler_the_fast_way_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: "g++")
    assert isinstance(fast(), Compiled)


def test_calls_leave_nothing_behind() -> None:
    weight = torch.randn(3, 3, requires_grad=True)
    unroll = uncompiled()

    def step(weights: Any, now: Any, state: Any) -> Any:
        hidden = torch.addmm(now[0], state, weights[0].T).tanh()
        return hidden, (state,), hidden

    def held() -> int:
        unroll(step, (weight,), (torch.randn(4, 2, 3),), torch.zeros(2, 3))
        return len(contextvars.copy_context())

    assert len({held() for _ in range(5)}) == 1


@pytest.mark.usefixtures("cxx_compiler")
def test_what_was_compiled_with_another_lowering_is_not_taken_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, rows, start = torch.randn(3, 3), torch.randn(1, 2, 3), torch.randn(2, 3)

    def step(weights: Any, now: Any, state: Any) -> Any:
        after = products.affine(now[0], state, weights[0])
        return after, (state,), after

    def is_torchs_product() -> bool:
        found, features = CompiledStep(step, (weight,), (rows[0],), start), torch.empty(1, 2, 3)
        with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
            found.there.scan(range(1), [found.way_there((turned(weight),), (rows,), (start,), features)])
        torch.testing.assert_close(features[0], rows[0] + start @ weight.T)
        # Compiled code calls it without a record, but not what it calls in turn.
        return any(event.name == "aten::resolve_conj" for event in seen.events() or ())

    with fresh_cache():
        with monkeypatch.context() as patched:
            patched.setattr(lowering, "LOWERINGS", {})
            patched.setattr(lowering, "TAG", "none")
            assert is_torchs_product()
        assert not is_torchs_product()
