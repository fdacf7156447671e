"""Which leaves of a state are recomputable, and the graph that recomputes them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx

from mann.fast.recomputation import extract_subgraph, recomputable_states

LEAVES = 2
"""How many leaves of the state the steps below have: the last inputs and the first outputs."""


def traced(step: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> tuple[torch.fx.GraphModule, list, list]:
    """Return the graph of a step, its leaves (before, after), and all its nodes."""
    graph = make_fx(step)(*inputs)
    placeholders = graph.graph.find_nodes(op="placeholder")
    outputs: Any = graph.graph.output_node().args[0]
    return graph, list(zip(placeholders[-LEAVES:], outputs, strict=False)), list(graph.graph.nodes)


def write_step(weight: Tensor, usage: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
    """Change a memory by few numbers, and a usage by the numbers in the memory."""
    erase, add = usage.sigmoid(), weight.tanh()
    memory = memory * (1 - erase[:, None]) + usage[:, None] * add
    return usage + memory.sum(1), memory, add


def test_a_memory_is_recomputed_from_the_small_tensors_that_change_it() -> None:
    inputs = torch.randn(3), torch.randn(4), torch.randn(4, 3)
    graph, leaves, nodes = traced(write_step, *inputs)
    found = recomputable_states(leaves, nodes)
    assert list(found) == [1]
    state = found[1]
    recompute = extract_subgraph(graph, [*state.sources, state.before], [state.after])
    values: dict[Node, Tensor] = {}

    class Watched(torch.fx.Interpreter):
        def run_node(self, n: Node) -> Tensor:
            values[n] = super().run_node(n)
            return values[n]

    _, memory, _ = Watched(graph).run(*inputs)
    torch.testing.assert_close(recompute(*(values[node] for node in state.sources), inputs[2])[0], memory)
    assert not recompute.graph.find_nodes(op="call_function", target=torch.ops.aten.tanh.default)
    assert all(values[node].numel() < memory.numel() for node in state.sources)


def test_a_source_that_follows_cheaply_from_saved_tensors_is_replaced_by_them() -> None:
    inputs = torch.randn(3), torch.randn(4), torch.randn(4, 3)
    graph, leaves, nodes = traced(write_step, *inputs)
    weight, usage, memory = nodes[:3]
    (state,) = recomputable_states(leaves, [memory, usage, weight]).values()
    assert set(state.sources) == {weight, usage}
    recompute = extract_subgraph(graph, [*state.sources, memory], [state.after])
    values = {weight: inputs[0], usage: inputs[1], memory: inputs[2]}
    expected = write_step(*inputs)[1]
    torch.testing.assert_close(recompute(*(values[node] for node in (*state.sources, memory)))[0], expected)

    # The usage is saved and the weight is not: the tensor that follows from the weight stays a source.
    (state,) = recomputable_states(leaves, [memory, usage]).values()
    assert usage in state.sources and weight not in state.sources
    (tanh,) = graph.graph.find_nodes(op="call_function", target=torch.ops.aten.tanh.default)
    assert tanh in state.sources


def test_a_source_that_takes_a_product_to_compute_is_saved_itself() -> None:
    def step(weight: Tensor, usage: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        add = weight @ usage
        return usage + memory.sum(1), memory + add, add

    graph, leaves, nodes = traced(step, torch.randn(3, 4), torch.randn(4), torch.randn(4, 3))
    weight, usage, memory = nodes[:3]
    (state,) = recomputable_states(leaves, [memory, usage, weight]).values()
    assert [source.target for source in state.sources] == [torch.ops.aten.mv.default]


def test_another_recomputable_state_does_not_replace_a_source() -> None:
    def step(first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        return first * 0.5, second + first[0].sum()

    _, leaves, nodes = traced(step, torch.randn(4, 3), torch.randn(4, 4))
    found = recomputable_states(leaves, nodes[:2])
    assert list(found) == [0, 1]
    assert nodes[0] not in found[1].sources


def test_a_state_that_the_backward_pass_does_not_need_is_not_recomputed() -> None:
    _, leaves, nodes = traced(write_step, torch.randn(3), torch.randn(4), torch.randn(4, 3))
    assert not recomputable_states(leaves, [node for node in nodes if node not in leaves[1]])
    assert list(recomputable_states(leaves, [leaves[1][0]])) == list(recomputable_states(leaves, [leaves[1][1]])) == [1]


def test_a_state_that_takes_a_large_input_or_does_not_change_is_not_recomputed() -> None:
    def step(weight: Tensor, hidden: Tensor, still: Tensor) -> tuple[Tensor, ...]:
        return weight @ hidden, still

    _, leaves, nodes = traced(step, torch.randn(4, 4), torch.randn(4), torch.randn(9))
    assert not recomputable_states(leaves, nodes)
