"""Which leaves of a state follow from themselves, and the graph that makes them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx

from mann.fast.recomputation import chains, extracted

BEFORE = 2
"""Leaves of the state in the steps below, the last inputs and the first outputs."""


def traced(step: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> tuple[torch.fx.GraphModule, list, list]:
    """Return the graph of a step, its leaves (before, after), and all its nodes."""
    graph = make_fx(step)(*inputs)
    placeholders = graph.graph.find_nodes(op="placeholder")
    outputs: Any = graph.graph.output_node().args[0]
    return graph, list(zip(placeholders[-BEFORE:], outputs, strict=False)), list(graph.graph.nodes)


def written(weight: Tensor, usage: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
    """Change a memory by little, and a usage by what is seen in the memory."""
    erase, add = usage.sigmoid(), weight.tanh()
    memory = memory * (1 - erase[:, None]) + usage[:, None] * add
    return usage + memory.sum(1), memory, add


def test_a_memory_that_is_changed_by_little_is_made_from_what_it_was_changed_by() -> None:
    inputs = torch.randn(3), torch.randn(4), torch.randn(4, 3)
    graph, leaves, nodes = traced(written, *inputs)
    found = chains(leaves, nodes)
    assert list(found) == [1]
    chain = found[1]
    again = extracted(graph, [*chain.sources, chain.before], [chain.after])
    values: dict[Node, Tensor] = {}

    class Noted(torch.fx.Interpreter):
        def run_node(self, n: Node) -> Tensor:
            values[n] = super().run_node(n)
            return values[n]

    _, memory, _ = Noted(graph).run(*inputs)
    torch.testing.assert_close(again(*(values[node] for node in chain.sources), inputs[2])[0], memory)
    assert not again.graph.find_nodes(op="call_function", target=torch.ops.aten.tanh.default)
    assert all(values[node].numel() < memory.numel() for node in chain.sources)


def test_what_is_kept_anyway_is_taken_instead_of_what_follows_from_it_by_little() -> None:
    inputs = torch.randn(3), torch.randn(4), torch.randn(4, 3)
    graph, leaves, nodes = traced(written, *inputs)
    weight, usage, memory = nodes[:3]
    (made,) = chains(leaves, [memory, usage, weight]).values()
    assert set(made.sources) == {weight, usage}
    again = extracted(graph, [*made.sources, memory], [made.after])
    values = {weight: inputs[0], usage: inputs[1], memory: inputs[2]}
    expected = written(*inputs)[1]
    torch.testing.assert_close(again(*(values[node] for node in (*made.sources, memory)))[0], expected)

    # The usage is kept and the weight is not: what is made of the weight stays a source.
    (made,) = chains(leaves, [memory, usage]).values()
    assert usage in made.sources and weight not in made.sources
    (tanh,) = graph.graph.find_nodes(op="call_function", target=torch.ops.aten.tanh.default)
    assert tanh in made.sources


def test_a_source_that_takes_a_product_is_kept_itself() -> None:
    def step(weight: Tensor, usage: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        add = weight @ usage
        return usage + memory.sum(1), memory + add, add

    graph, leaves, nodes = traced(step, torch.randn(3, 4), torch.randn(4), torch.randn(4, 3))
    weight, usage, memory = nodes[:3]
    (made,) = chains(leaves, [memory, usage, weight]).values()
    assert [source.target for source in made.sources] == [torch.ops.aten.mv.default]


def test_the_ends_of_another_chain_are_not_taken_instead() -> None:
    def step(first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        return first * 0.5, second + first[0].sum()

    _, leaves, nodes = traced(step, torch.randn(4, 3), torch.randn(4, 4))
    found = chains(leaves, nodes[:2])
    assert list(found) == [0, 1]
    assert nodes[0] not in found[1].sources


def test_what_the_way_back_does_not_need_is_no_chain() -> None:
    _, leaves, nodes = traced(written, torch.randn(3), torch.randn(4), torch.randn(4, 3))
    assert not chains(leaves, [node for node in nodes if node not in leaves[1]])
    assert list(chains(leaves, [leaves[1][0]])) == list(chains(leaves, [leaves[1][1]])) == [1]


def test_what_takes_a_large_input_or_stays_as_it_is_is_no_chain() -> None:
    def step(weight: Tensor, hidden: Tensor, still: Tensor) -> tuple[Tensor, ...]:
        return weight @ hidden, still

    _, leaves, nodes = traced(step, torch.randn(4, 4), torch.randn(4), torch.randn(9))
    assert not chains(leaves, nodes)
