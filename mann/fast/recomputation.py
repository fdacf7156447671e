"""What a step of a recurrent network need not keep for its way back, for `mann.fast.compiled_step`.

Most of what a way back needs are memories: one for each step. But a memory follows from the one before it and from
little else (what is written, and where), which is kept. So it can be made again, from one that was kept some steps
before. A leaf of the state that follows from itself in this way is a chain.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree


class Chain(NamedTuple):
    """How a leaf of the state follows from itself.

    Attributes:
        before, after: The leaf before a step, and after it.
        sources: What it is made from besides, each smaller than it; what is kept anyway, where that is enough.
    """

    before: Node
    after: Node
    sources: tuple[Node, ...]


def chains(leaves: Sequence[tuple[Node, Node]], kept: Collection[Node]) -> dict[int, Chain]:
    """Return the chains among the leaves (before, after) that have to be kept, each by its number."""
    found: dict[int, Chain] = {}
    for number, (before, after) in enumerate(leaves):
        if before is not after and (before in kept or after in kept):
            sources = _sources(before, after)
            if sources is not None:
                found[number] = Chain(before, after, sources)
    small = set(kept).difference(*((link.before, link.after) for link in found.values()))
    return {number: link._replace(sources=_origins(link.sources, small)) for number, link in found.items()}


def _sources(before: Node, after: Node) -> tuple[Node, ...] | None:
    """Return what a leaf is made from besides itself, or none if that is not smaller."""
    sources: dict[Node, None] = {}
    seen, ahead = {before}, [after]
    while ahead:
        node = ahead.pop()
        if node in seen:
            continue
        seen.add(node)
        if _size(node) < _size(after):
            sources[node] = None
        elif node.op == "placeholder":
            return None
        else:
            ahead.extend(node.all_input_nodes)
    return tuple(sources)


def _origins(sources: Sequence[Node], kept: Collection[Node]) -> tuple[Node, ...]:
    """Replace each source by what is kept, where it follows from that by what takes little time."""
    from torch._functorch.partitioners import get_default_op_list

    little = get_default_op_list().is_recomputable

    @cache
    def origins(node: Node) -> tuple[Node, ...] | None:
        if node in kept:
            return (node,)
        if node.op == "placeholder" or not little(node):
            return None
        parts = [origins(one) for one in node.all_input_nodes]
        known = [part for part in parts if part is not None]
        return joined(known) if len(known) == len(parts) else None

    def joined(parts: Iterable[tuple[Node, ...]]) -> tuple[Node, ...]:
        # Each once, always in the same order: the compiler's cache knows a graph by its text.
        return tuple(dict.fromkeys(chain.from_iterable(parts)))

    return joined(origins(source) or (source,) for source in sources)


def _size(node: Node) -> int:
    """Return how many numbers a node holds."""
    return sum(value.numel() for value in pytree.tree_leaves(node.meta["val"]))


def extracted(graph: GraphModule, inputs: Sequence[Node], outputs: Sequence[Node]) -> GraphModule:
    """Return the part of a graph that makes some of its nodes from others."""
    part = Graph()
    copies: dict[Node, Node] = {}
    for node in inputs:
        copies[node] = part.placeholder(node.name)
        copies[node].meta = dict(node.meta)
    wanted, ahead = set[Node](), list(outputs)
    while ahead:
        node = ahead.pop()
        if node not in wanted and node not in copies:
            wanted.add(node)
            ahead.extend(node.all_input_nodes)
    for node in graph.graph.nodes:
        if node in wanted:
            copies[node] = part.node_copy(node, copies.__getitem__)
    part.output(tuple(copies[node] for node in outputs))
    return GraphModule(graph, part)
