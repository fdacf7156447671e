"""Which leaves of a state can be recomputed for the backward pass, instead of being saved at each step.

Most of the memory of a backward pass is for the network's memories, one for each step. But a memory follows from the
one before it and from little else: the vectors that are written, and where, which are saved anyway. So it can be
recomputed, starting from one that was saved some steps earlier. A leaf of the state that follows from itself in this
way is a recomputable state.

This module finds them in the forward graph of a step; `mann.fast.compiled_step` takes them out of it.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

from torch.fx import Graph, GraphModule, Node

from mann.fast.torch_internals import get_default_op_list
from mann.support.trees import leaves_of


class RecomputableState(NamedTuple):
    """How a leaf of the state follows from itself.

    Attributes:
        before, after: The leaf before a step, and after it.
        sources: The other tensors that it is computed from, each smaller than it; tensors that are saved anyway, where
            these are enough.
    """

    before: Node
    after: Node
    sources: tuple[Node, ...]


def recomputable_states(leaves: Sequence[tuple[Node, Node]], saved: Collection[Node]) -> dict[int, RecomputableState]:
    """Return the recomputable states among leaves that would have to be saved, by the leaf's number.

    Args:
        leaves: Each leaf of the state before and after a step.
        saved: The tensors that the backward graph needs.
    """
    found: dict[int, RecomputableState] = {}
    for number, (before, after) in enumerate(leaves):
        # One and the same node is a leaf that a step hands on unchanged: it takes no memory at each step.
        if before is not after and (before in saved or after in saved):
            sources = _sources(before, after)
            if sources is not None:
                found[number] = RecomputableState(before, after, sources)
    # Recomputable states are not saved themselves, so that nothing may be made to follow from them.
    remaining = set(saved).difference(*((state.before, state.after) for state in found.values()))
    return {number: state._replace(sources=_origins(state.sources, remaining)) for number, state in found.items()}


def _sources(before: Node, after: Node) -> tuple[Node, ...] | None:
    """Return the tensors besides itself that a leaf is computed from; None if they are not all smaller than it.

    Walks from the new leaf towards the inputs, through tensors of its size, and stops at smaller ones.
    """
    sources: dict[Node, None] = {}  # a set that keeps its order
    seen, ahead = {before}, [after]
    while ahead:
        node = ahead.pop()
        if node in seen:
            continue
        seen.add(node)
        if _size(node) < _size(after):
            sources[node] = None
        elif node.op == "placeholder":
            return None  # another large input: saving it would cost as much as saving the leaf
        else:
            ahead.extend(node.all_input_nodes)
    return tuple(sources)


def _origins(sources: Sequence[Node], saved: Collection[Node]) -> tuple[Node, ...]:
    """Replace each source by saved tensors, where it follows from these by operations that take little time."""
    is_cheap = get_default_op_list().is_recomputable

    @cache  # of a graph, in which paths meet again: without, the time could grow exponentially
    def origins(node: Node) -> tuple[Node, ...] | None:
        if node in saved:
            return (node,)
        if node.op == "placeholder" or not is_cheap(node):
            return None
        parts = [origins(one) for one in node.all_input_nodes]
        known = [part for part in parts if part is not None]
        return merged(known) if len(known) == len(parts) else None

    def merged(parts: Iterable[tuple[Node, ...]]) -> tuple[Node, ...]:
        # Each once, always in the same order: the compiler's cache recognises a graph by its text.
        return tuple(dict.fromkeys(chain.from_iterable(parts)))

    return merged(origins(source) or (source,) for source in sources)


def _size(node: Node) -> int:
    """Return how many numbers a node holds."""
    return sum(value.numel() for value in leaves_of(node.meta["val"]))


def extract_subgraph(graph: GraphModule, inputs: Sequence[Node], outputs: Sequence[Node]) -> GraphModule:
    """Return the part of a graph that computes some of its nodes from others."""
    part = Graph()
    copies: dict[Node, Node] = {}
    for node in inputs:
        copies[node] = part.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    needed = _ancestors(outputs, copies)
    # In the order of the whole graph, in which a node comes after all nodes that it is computed from.
    for node in graph.graph.nodes:
        if node in needed:
            copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(tuple(copies[node] for node in outputs))
    return GraphModule(graph, part)


def _ancestors(nodes: Sequence[Node], inputs: Collection[Node]) -> set[Node]:
    """Return the nodes, and all that they are computed from, up to the inputs."""
    found, ahead = set[Node](), list(nodes)
    while ahead:
        node = ahead.pop()
        if node not in found and node not in inputs:
            found.add(node)
            ahead.extend(node.all_input_nodes)
    return found
