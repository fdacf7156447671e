"""Small networks, and what the tests of unrollings compare of them: values, states and gradients."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mann.addressing import LRUA
from mann.addressing.scheme import Scheme
from mann.fast.compiled_step import CompiledStep, Compiler, StepCompiler, interpreted
from mann.fast.compiled_unrolling import CompiledUnrolling
from mann.models.controllers import CONTROLLERS
from mann.models.network import MemoryNetwork
from mann.models.unrolling import Step, Tensors, Unrolling
from mann.support.trees import leaves_of, map_leaves

PAPER = LRUA(read_heads=2)
OWN = LRUA(read_heads=2, least_used="own")
"""With `PAPER`, two slots are equal from the first write on, and rounding decides which of them is used less."""
TRAINED = LRUA(read_heads=2, key_strength=2.0, write_vector="add", least_used="own")


class Outcome(NamedTuple):
    """Of two sequences, where the second starts from the last state of the first."""

    outputs: Tensor
    state: Any
    gradients: dict[str, Tensor]


def build(scheme: Scheme, controller: str, dtype: torch.dtype, hidden_size: int = 4, slots: int = 5) -> MemoryNetwork:
    """Return a small network of 3 inputs and 2 outputs, with biases that are not near 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MemoryNetwork(3, 2, scheme, CONTROLLERS[controller], hidden_size, slots, 3).to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return network


def numbers(*size: int) -> Tensor:
    """Return float64 random numbers, the same for the same size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=torch.float64)


def sequence(time: int, batch: int, dtype: torch.dtype) -> Tensor:
    """Return inputs [time, batch, 3]."""
    return torch.randn(time, batch, 3, generator=torch.Generator().manual_seed(time), dtype=torch.float64).to(dtype)


def outcome(network: MemoryNetwork, unroll: Unrolling, time: int, batch: int, dtype: torch.dtype) -> Outcome:
    """Run two sequences through the network and differentiate a loss of all outputs and the last state."""
    network.unroll = unroll
    network.zero_grad()
    inputs = sequence(time, batch, dtype).requires_grad_()
    before = map_leaves(lambda leaf: leaf.clone(), network.initial_state(batch, inputs))
    first, between = network(inputs)
    second, state = network(inputs.flip(0), between)
    outputs = torch.cat([first, second])
    loss = outputs.square().sum() + sum(leaf.sum() for leaf in (state.memory, state.reads, *state.controller))
    loss.backward()
    after = network.initial_state(batch, inputs)
    pairs = zip(leaves_of(before), leaves_of(after), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)  # nothing was written to the initial state
    gradients = {"inputs": inputs.grad, **{name: value.grad for name, value in network.named_parameters()}}
    known = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    assert known.keys() == gradients.keys() and all(gradient.abs().sum() > 0 for gradient in known.values())
    return Outcome(outputs.detach(), state, known)


def assert_equal(one: Outcome, other: Outcome, tolerance: float) -> None:
    """Compare values, states and gradients."""
    torch.testing.assert_close(one.outputs, other.outputs, atol=tolerance, rtol=tolerance)
    for left, right in zip(leaves_of(one.state), leaves_of(other.state), strict=True):
        torch.testing.assert_close(left, right, atol=tolerance, rtol=tolerance)
    for name, gradient in one.gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(
            other.gradients[name], gradient, atol=tolerance * max(scale, 1), rtol=tolerance, msg=name
        )


def shards(number: int) -> Callable[[int, torch.device], int]:
    """Return a function that cuts each batch into as many shards."""
    return lambda batch, device: number


def uncompiled(**options: Any) -> CompiledUnrolling:
    """Return the unrolling with a traced step whose graphs are run operation by operation: compiling takes seconds."""
    return CompiledUnrolling(partial(CompiledStep, compiler=interpreted), **options)


def compiled_once(compiler: Compiler) -> StepCompiler:
    """Return what compiles one step once for each batch size, for several unrollings that differ in their options."""
    known: dict[tuple[int, int], CompiledStep] = {}

    def compile_step(step: Step, weights: Tensors, now: Tensors, state: Any, threads: int) -> CompiledStep:
        key = (len(now[0]), threads)
        if key not in known:
            known[key] = CompiledStep(step, weights, now, state, threads, compiler)
        return known[key]

    return compile_step


def counted() -> tuple[CompiledUnrolling, list[Any]]:
    """Return `uncompiled`, and a list that gets the arguments of each step that is traced."""
    traced = []

    def trace(*arguments: Any) -> CompiledStep:
        traced.append(arguments)
        return CompiledStep(*arguments, compiler=interpreted)

    return CompiledUnrolling(trace), traced
