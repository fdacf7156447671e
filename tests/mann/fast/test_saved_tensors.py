"""Which tensors an unrolling saves for its backward pass, and when they are freed."""

import contextvars
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from mann.addressing import SCHEMES
from mann.fast.compiled_step import interpreted
from mann.fast.compiled_unrolling import CompiledUnrolling
from mann.models.network import MemoryNetwork
from tests.mann.fast.networks import TRAINED, build, compiled_once, sequence, uncompiled


def saved_memories(network: MemoryNetwork, time: int) -> tuple[Tensor, list[weakref.ref[Tensor]]]:
    """Return the outputs for a sequence, and the memories that are saved for its backward pass."""
    network(sequence(time, 2, torch.float32))  # traced
    memories: list[weakref.ref[Tensor]] = []

    def pack(tensor: Tensor) -> Tensor:
        held = tensor.detach()
        if tensor.shape == (2, 5, 3):
            memories.append(weakref.ref(held))
        return held

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        return network(sequence(time, 2, torch.float32))[0], memories


@pytest.mark.parametrize("name", SCHEMES)
def test_few_of_many_memories_are_saved(name: str) -> None:
    heads = {"read_heads": 1} if hasattr(SCHEMES[name], "read_heads") else {}
    network = build(SCHEMES[name](**heads), "lstm", torch.float32)
    compile_step = compiled_once(interpreted)
    network.unroll = CompiledUnrolling(compile_step)
    assert len(saved_memories(network, 20)[1]) == 21
    network.unroll = CompiledUnrolling(compile_step, recompute_from=0)
    assert len(saved_memories(network, 20)[1]) == 6  # at every fourth step, and at the end


@pytest.mark.parametrize("name", SCHEMES)
def test_no_more_of_an_order_of_slots_is_saved_than_is_needed(name: str) -> None:
    network = build(SCHEMES[name](), "lstm", torch.float32, slots=40)
    network.unroll = uncompiled()
    unneeded = []

    def pack(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() and tensor.untyped_storage().nbytes() > tensor.nbytes:
            unneeded.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(sequence(40, 2, torch.float32))
    assert not unneeded


@pytest.mark.parametrize("backward", [True, False])
def test_saved_tensors_are_freed_by_the_backward_pass_or_with_the_outputs(backward: bool) -> None:
    network = build(TRAINED, "lstm", torch.float32)
    network.unroll = uncompiled()
    outputs, memories = saved_memories(network, 5)
    assert len(memories) >= 5
    if backward:
        outputs.sum().backward()
    else:
        del outputs
    gc.collect()
    assert not [memory for memory in memories if memory() is not None]


def test_calls_leave_no_context_variables_behind() -> None:
    weight = torch.randn(3, 3, requires_grad=True)
    unroll = uncompiled()

    def step(weights: Any, preactivations: Any, state: Any) -> Any:
        hidden = torch.addmm(preactivations[0], state, weights[0].T).tanh()
        return hidden, (state,), hidden

    def variables() -> int:
        unroll(step, (weight,), (torch.randn(4, 2, 3),), torch.zeros(2, 3))
        return len(contextvars.copy_context())

    assert len({variables() for _ in range(5)}) == 1
