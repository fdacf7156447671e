"""A network can be used like torch.nn.LSTM, whatever its scheme: compiled, under autocast, by torch.func, saved."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mann.addressing import LRUA, SCHEMES, Sparse
from mann.fast.compiled_step import CompiledStep, interpreted
from mann.fast.compiled_unrolling import CompiledUnrolling
from mann.models.controllers import LSTMController, controller_kind
from mann.models.initial_state import InitialState
from mann.models.network import MemoryNetwork
from mann.models.unrolling import plain
from mann.settings import Memory
from mann.support.trees import leaves_of, map_leaves

TIME, BATCH, INPUTS, OUTPUTS = 6, 2, 3, 2
VARIANTS: dict[str, Any] = {
    **{name: scheme for name, scheme in SCHEMES.items()},
    "lrua of training": lambda: Memory().scheme,
    "sparse, of many slots": lambda: Sparse(read_heads=1, nearest=2),
}


@pytest.fixture(params=list(VARIANTS))
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of each scheme in turn."""
    return request.param


def build(name: str, dtype: torch.dtype = torch.float64, **options: Any) -> MemoryNetwork:
    """Return a small network with weights of some size."""
    slots = 100 if "many" in name else 5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {"controller": LSTMController, "hidden_size": 4, "slots": slots, "word_size": 3, **options}
        network = MemoryNetwork(INPUTS, OUTPUTS, VARIANTS[name](), **settings).to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return network


def sequence(time: int = TIME, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return inputs [time, batch, width]."""
    return torch.randn(time, BATCH, INPUTS, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "learned": {"start": partial(InitialState, memory="learned", heads="learned")},
    "random memory, clipped, read first, two layers": {
        "start": partial(InitialState, memory="random"),
        "clip": 2.0,
        "read_first": True,
        "controller": controller_kind("gru", 2),
    },
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_one_long_sequence_equals_its_steps_with_the_state_handed_on(name: str, options: dict[str, Any]) -> None:
    network = build(name, **options)
    whole, last = network(sequence())
    state, parts = None, []
    for part in sequence().split([1, 2, 1, 1, 1]):
        answer, state = network(part, state)
        parts.append(answer)
    # A sharp choice among nearly equal usages (lru-soft) makes rounding errors some ten times as large.
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-10, rtol=0)
    for one, other in zip(leaves_of(state), leaves_of(last), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_values_and_gradients_are_finite_from_blank_and_zero_inputs_on(name: str, options: dict[str, Any]) -> None:
    for scale in (0.0, 1.0, 1e3):
        network = build(name, torch.float32, **options)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(0 if scale == 0 else 10)
        inputs = (sequence(dtype=torch.float32) * scale).requires_grad_()
        outputs, state = network(inputs)
        (outputs.square().sum() + state.memory.sum()).backward()
        for leaf in leaves_of((outputs, state)):
            assert torch.isfinite(leaf).all()
        for value in (inputs, *network.parameters()):
            assert value.grad is None or torch.isfinite(value.grad).all()


def test_derivatives_match_finite_differences(name: str) -> None:
    network = build(name)
    names, values = zip(*network.named_parameters(), strict=True)
    _, state = network(sequence(2))
    # A cosine is too curved for finite differences near a blank memory.
    memory = torch.randn(state.memory.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    state = map_leaves(torch.detach, state)

    def run(inputs: Tensor, memory: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        outputs, _ = torch.func.functional_call(network, named, (inputs, state._replace(memory=memory)))
        return outputs

    inputs = sequence(2).requires_grad_()
    assert torch.autograd.gradcheck(run, (inputs, memory.requires_grad_(), *values), fast_mode=True)


def test_the_compiled_unrolling_equals_the_plain_one(name: str) -> None:
    network = build(name)
    results = []
    compile_step = partial(CompiledStep, compiler=interpreted)
    recomputing = CompiledUnrolling(compile_step, recompute_from=0)
    for unroll in (plain, CompiledUnrolling(compile_step), recomputing):
        network.zero_grad()
        network.unroll = unroll
        outputs, _ = network(sequence())
        outputs.square().sum().backward()
        results.append((outputs, {name: value.grad for name, value in network.named_parameters()}))
    (expected, expected_gradients), *others = results
    for outputs, gradients in others:
        torch.testing.assert_close(outputs, expected, atol=1e-12, rtol=0)
        for key, gradient in expected_gradients.items():
            torch.testing.assert_close(gradients[key], gradient, atol=1e-9, rtol=1e-9)


@pytest.fixture
def forget_compiled() -> Iterator[None]:
    """Drop compiled code, before and after."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.usefixtures("forget_compiled")
@pytest.mark.filterwarnings("ignore")
def test_a_whole_network_compiles_without_a_break(name: str) -> None:
    network = build(name, torch.float32)
    inputs = sequence(2, torch.float32)
    expected, _ = network(inputs)
    expected.square().sum().backward()
    gradients = {key: value.grad.clone() for key, value in network.named_parameters() if value.grad is not None}
    network.zero_grad()
    # "aot_eager" follows the network and its gradient as the default does, without the minutes of a C++ compiler.
    # "eager" follows the network alone: the gradients of the other schemes consist of the same operations.
    backend = "aot_eager" if name in ("ntm", "lrua", "dnc", "sparse") else "eager"
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    outputs, _ = compiled(inputs)
    torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)
    outputs.square().sum().backward()
    for key, value in network.named_parameters():
        if key in gradients:
            scale = max(1.0, float(gradients[key].abs().max()))
            torch.testing.assert_close(value.grad, gradients[key], atol=1e-4 * scale, rtol=1e-4)


def test_autocast_changes_little_and_leaves_memory_in_full_precision(name: str) -> None:
    network = build(name, torch.float32)
    inputs = sequence(2, torch.float32)
    expected, _ = network(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, state = network(inputs)
    assert outputs.dtype == torch.bfloat16
    assert {leaf.dtype for leaf in leaves_of(state)} == {torch.float32}
    torch.testing.assert_close(outputs.float(), expected, atol=0.1, rtol=0.1)
    outputs.float().square().sum().backward()
    assert all(value.grad is None or torch.isfinite(value.grad).all() for value in network.parameters())


def test_torch_func_differentiates_and_maps_over_copies_of_the_weights(name: str) -> None:
    network = build(name)
    weights: dict[str, Tensor] = dict(network.named_parameters())
    inputs = sequence(2)

    def loss(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(network, weights, (inputs,))[0].square().sum()

    gradients = torch.func.grad(loss)(weights)
    loss(weights).backward()
    for key, value in weights.items():
        expected = torch.zeros_like(value) if value.grad is None else value.grad
        torch.testing.assert_close(gradients[key], expected)
    several = {key: torch.stack([value, value * 0.5]) for key, value in weights.items()}
    together = torch.func.vmap(loss)(several)
    for index in range(2):
        alone = loss({key: value[index] for key, value in several.items()})
        torch.testing.assert_close(together[index], alone)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_a_network_loaded_from_safetensors_gives_the_same_outputs(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    network, other = build(name, **options), build(name, **options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
    assert not torch.equal(other(sequence())[0], network(sequence())[0])
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(sequence())[0], network(sequence())[0])


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_trace_contains_the_access_of_each_step(name: str, batch_first: bool) -> None:
    network = build(name, batch_first=batch_first)
    inputs = sequence().transpose(0, 1) if batch_first else sequence()
    outputs, state, trace = network.trace(inputs)
    expected, after = network(inputs)
    assert torch.equal(outputs, expected)
    for one, other in zip(leaves_of(state), leaves_of(after), strict=True):
        assert torch.equal(one, other)
    assert {len(leaf) for leaf in leaves_of(trace)} == {TIME}
    assert torch.equal(trace.memory[-1], state.memory) and torch.equal(trace.reads[-1], state.reads)
    # Writes and reads can be recomputed from the trace.
    memory = network.initial_state(BATCH, outputs, TIME).memory
    for step in range(TIME):
        weights, keep, add = (part[step] for part in trace.write)
        memory = memory * keep + torch.einsum("bhn,bhw->bnw", weights, add)
        torch.testing.assert_close(memory, trace.memory[step], atol=1e-12, rtol=0)
        reads = torch.einsum("bhn,bnw->bhw", trace.read_weights[step], memory).flatten(1)
        torch.testing.assert_close(reads, trace.reads[step], atol=1e-12, rtol=0)


def test_nothing_that_is_emitted_or_answered_is_larger_than_the_clip() -> None:
    free, clipped = build("lrua"), build("lrua", clip=0.5)
    assert free(sequence())[0].abs().max() > 0.5
    outputs, _, trace = clipped.trace(sequence())
    assert outputs.abs().max() == 0.5
    largest = torch.tanh(torch.tensor(0.5, dtype=torch.float64))
    assert trace.controls["key"].abs().max() == largest


def test_slots_that_cannot_be_reached_make_no_difference_and_no_work() -> None:
    few, many = build("sparse, of many slots"), build("sparse, of many slots", slots=100_000)
    expected, state = few(sequence())
    outputs, other = many(sequence())
    assert torch.equal(outputs, expected)
    assert other.memory.shape == state.memory.shape == (BATCH, TIME * 3 + 1, 3)
    whole, _ = few(sequence(), few.initial_state(BATCH, expected))
    torch.testing.assert_close(whole, expected, atol=1e-12, rtol=0)


def test_reading_by_content_alone_needs_slots_that_differ() -> None:
    """The reason why `content` starts with a learned memory: in a constant one all slots stay equal."""
    constant, learned = (
        build("content", start=partial(InitialState, memory=memory))(sequence())[1].memory
        for memory in ("constant", "learned")
    )
    assert (constant - constant[:, :1]).abs().max() < 1e-12
    assert (learned - learned[:, :1]).abs().max() > 1e-2


def test_lrua_is_the_default_of_the_package() -> None:
    assert isinstance(Memory().scheme, LRUA)
