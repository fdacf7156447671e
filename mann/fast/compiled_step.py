"""Compiling one step of a recurrent network and its gradient, for `mann.fast.through_time`.

A compiler that is given the loop compiles every turn of it, which takes as much longer; one that is given a step puts
checks and records around each call, which take longer than the step. So a step is traced once, with its gradient;
torch's partitioner cuts the trace into a forward and a backward graph and decides what is kept between them; Inductor
compiles both. A call is then nothing but the compiled code. `mann.fast.scan` calls it, for one time after another.

What this needs of torch is not public, so torch's versions have a bound (pyproject.toml).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import compress
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import CheckpointPolicy

from episodes.native import trusted_vectors
from mann.fast.recomputation import chains, extracted
from mann.fast.scan import Called, Carried, Graph, Lane, Native, Noted, Record, Row, Same, Sink, Tensors

Step = Callable[[Tensors, Tensors, Any], tuple[Tensor, Tensors, Any]]
"""(weights, preactivations, state) -> (features, what each weight was multiplied with, the new state)."""
Compiler = Callable[[GraphModule, bool, int], Graph]
"""(graph, whether it is the one of the way back, how many threads share a call) -> what runs it."""

WORTH_A_THREAD = 2**15
"""Numbers that are worth waking another thread for, as in torch's own operations."""


def inductor(graph: GraphModule, backward: bool, threads: int) -> Graph:
    """Compile a graph."""
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx_inner

    from mann.fast import lowering

    output: Any = graph.graph.output_node()
    # The graphs have agreed on the layout of what is kept between them: no other may be chosen.
    output.meta["original_output_strides"] = [node.meta["val"].stride() for node in output.args[0]]
    output.meta["user_visible_output_idxs"] = range(len(output.args[0]))
    inputs = [node.meta["val"] for node in graph.graph.find_nodes(op="placeholder")]
    # Kernels are called from C++, where a call costs less; on a GPU that would ask for its toolkit.
    from_cpp = all(tensor.device.type == "cpu" for tensor in inputs)
    options = {"cpp_wrapper": from_cpp, "cpp.min_chunk_size": WORTH_A_THREAD, "cpp.threads": threads}
    with lowering.own(), trusted_vectors(), config.patch(options):
        compiled: Any = compile_fx_inner(graph, inputs, is_backward=backward, cpp_wrapper=from_cpp)  # pyright: ignore
    return Native(compiled) if from_cpp else Called(compiled)


def interpreted(graph: GraphModule, backward: bool, threads: int) -> Graph:
    """Run a graph operation by operation: what a compiled one has to be equal to."""
    return Called(lambda inputs: graph(*inputs))


class CompiledStep:
    """A step for tensors of one size, and its gradient.

    All tensors that go in are contiguous, and so are those that come out; but weights on the way there are `turned`
    (`mann.fast.products`). Weights are constants to the gradient.

    Attributes:
        there, back, again: The graphs; `way_there`, `way_back` and `way_again` say what to run them with.
        weights: How many there are.
        batch: How many sequences.
        preactivations, outputs: Tensors without numbers, of the sizes of the preactivations, and of the features and
            what each weight is multiplied with.
        kept: How many tensors the way back needs, besides the chain.
        chain: Which leaves of the state it needs before each step and after it (`mann.fast.recomputation`).
            `again` makes them.

    Args:
        step: What to compile. It depends on nothing but its arguments and what never changes.
        weights, preactivations, state: Tensors of the sizes to compile for.
        threads: How many share a call; 1 where each has calls of its own.
        compiler: Compiles a graph.
    """

    def __init__(
        self,
        step: Step,
        weights: Tensors,
        preactivations: Tensors,
        state: Any,
        threads: int = 1,
        compiler: Compiler = inductor,
    ):
        leaves, structure = pytree.tree_flatten(state)
        tensors = [*weights, *preactivations, *leaves]
        self.weights, self._shown = len(weights), len(weights) + len(preactivations)
        self.batch = len(preactivations[0])
        # Which inputs a gradient is asked for.
        self._asked = [number >= self.weights and tensor.is_floating_point() for number, tensor in enumerate(tensors)]
        from torch._subclasses import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        self._threads, self._compiler, self._mode = threads, compiler, FakeTensorMode(shape_env=ShapeEnv())
        with self._tracing():
            there, back = self._graphs(step, [tensor.detach().contiguous() for tensor in tensors], structure)
            for node in there.graph.find_nodes(op="placeholder")[: self.weights]:
                node.meta["val"] = node.meta["val"].T.contiguous().T  # `turned`, but for having no numbers
            self._remaking = self._unchained(there)
            self.there, self.back = compiler(there, False, threads), compiler(back, True, threads)

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        from torch._guards import TracingContext, tracing

        with warnings.catch_warnings(), tracing(TracingContext(self._mode)):
            warnings.simplefilter("ignore")  # what torch says about its own code
            yield

    def _graphs(self, step: Step, tensors: list[Tensor], structure: Any) -> tuple[GraphModule, GraphModule]:
        """Return the graphs of both ways; notes how many outputs there are, and which have a gradient (`_given`)."""
        from torch._functorch import config
        from torch._functorch.partitioners import min_cut_rematerialization_partition
        from torch._inductor.decomposition import select_decomp_table
        from torch._inductor.fx_passes.joint_graph import joint_graph_passes
        from torch.fx.experimental.proxy_tensor import make_fx
        from torch.fx.graph import CodeGen

        def recorded(inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            """Return inputs that gradients may be asked for, and outputs: features, new state, what was multiplied."""
            inputs = [tensor.detach().requires_grad_(asked) for tensor, asked in zip(inputs, self._asked, strict=True)]
            given, shown, leaves = self.parted(inputs)
            with torch.enable_grad():
                features, used, after = step(given, shown, pytree.tree_unflatten(leaves, structure))
                outputs = [tensor.contiguous() for tensor in (features, *pytree.tree_leaves(after), *used)]
            return inputs, outputs

        # The partitioner knows the inputs and the gradients of the outputs by these names.
        def joint(primals: list[Tensor], tangents: list[Tensor]) -> list[Tensor]:
            inputs, outputs = recorded(primals)
            wanted, known = list(compress(inputs, self._asked)), list(compress(outputs, self._given))
            found = torch.autograd.grad(known, wanted, tangents, materialize_grads=True)
            return [*(tensor.detach() for tensor in outputs), *(gradient.contiguous() for gradient in found)]

        # With tensors that hold no numbers: one that the step was not given is refused, not built in.
        with self._mode:
            primals: list[Tensor] = [self._mode.from_tensor(tensor, static_shapes=True) for tensor in tensors]
            outputs = recorded(primals)[1]
            self._outputs = len(outputs)
            self.preactivations = primals[self.weights : self._shown]
            self.outputs = [outputs[0], *outputs[1 + structure.num_leaves :]]
            self._given = [tensor.requires_grad for tensor in outputs[: 1 + structure.num_leaves]]
            tangents = [torch.empty_like(tensor) for tensor in compress(outputs, self._given)]
            graph = make_fx(joint, decomposition_table=select_decomp_table())(primals, tangents)
            graph.graph.set_codegen(CodeGen())  # takes its inputs one by one, not as two lists
            graph.graph.eliminate_dead_code()
            graph.recompile()
            joint_graph_passes(graph)
            # Either way has weights as it reads them: a view of one is not handed on.
            for weight in graph.graph.find_nodes(op="placeholder")[: self.weights]:
                for view in weight.users:
                    view.meta["recompute"] = CheckpointPolicy.MUST_RECOMPUTE
        # What a product takes on the way back is made again too, where that takes little: a fifth less memory.
        with config.patch(ban_recompute_materialized_backward=False):
            return min_cut_rematerialization_partition(
                graph, [*primals, *tangents], num_fwd_outputs=self._outputs, static_lifetime_input_indices=[]
            )

    def _unchained(self, there: GraphModule) -> GraphModule:
        """Take the chain from what is kept, and return what makes it; notes where the way back finds what it needs."""
        inputs, output = there.graph.find_nodes(op="placeholder"), there.graph.output_node()
        nodes: Any = output.args[0]
        values, needed = nodes[: self._outputs], nodes[self._outputs :]
        found = chains(list(zip(inputs[self._shown :], values[1:], strict=False)), needed)
        self.chain = tuple(found)
        before, after = [link.before for link in found.values()], [link.after for link in found.values()]
        ends = {*before, *after}
        sources = [source for link in found.values() for source in link.sources]
        weights = inputs[: self.weights]
        kept = list(dict.fromkeys([*(node for node in needed if node not in ends and node not in weights), *sources]))
        self.kept = len(kept)
        self._needed = [[*weights, *kept, *before, *after].index(node) for node in needed]
        output.args = ((*values, *kept),)
        there.recompile()
        return extracted(there, [*kept, *before], after)

    def parted(self, tensors: Sequence[Tensor]) -> tuple[Tensors, Tensors, Tensors]:
        """Return the weights, the preactivations and the leaves of the state, which come one after the other."""
        weights, preactivations = tensors[: self.weights], tensors[self.weights : self._shown]
        return tuple(weights), tuple(preactivations), tuple(tensors[self._shown :])

    def way_there(
        self,
        weights: Tensors,
        preactivations: Tensors,
        state: Tensors,
        features: Tensor,
        used: Sequence[Tensor] = (),
        kept: Record | None = None,
        chain: Record | None = None,
        first: int = 0,
    ) -> Lane:
        """Return what to run `there` with.

        weights: `turned`; preactivations: [time, ...]; features, and used, what each weight was multiplied with, are
        filled, [time, ...]; kept: its row `time - first` is filled with what `back` needs; chain: its row after that,
        with the chain.
        """
        sources = [*map(Same, weights), *map(Row, preactivations), *map(Carried, range(len(state)))]
        links = {} if chain is None else {leaf: Noted(chain, at, 1 - first) for at, leaf in enumerate(self.chain)}
        after = [Sink(noted=links.get(leaf), slot=leaf) for leaf in range(len(state))]
        seen = [Sink(row=whole) for whole in used] or [Sink()] * self.weights
        notes = [Sink() if kept is None else Sink(noted=Noted(kept, column, -first)) for column in range(self.kept)]
        return Lane(sources, [Sink(row=features), *after, *seen, *notes], state)

    def way_again(self, kept: Record, chain: Record, before: Tensors, first: int) -> Lane:
        """Return what to run `again` with.

        kept: See `way_there`; chain: its row `time - first + 1` is filled; before: the chain before the first time.
        """
        needed = [Noted(kept, column, -first) for column in range(self.kept)]
        links = range(len(self.chain))
        return Lane(
            [*needed, *map(Carried, links)], [Sink(noted=Noted(chain, at, 1 - first), slot=at) for at in links], before
        )

    def way_back(
        self,
        weights: Tensors,
        kept: Record,
        chain: Record,
        features: Tensor,
        state: Tensors,
        preactivations: Tensors,
        first: int = 0,
        last: bool = False,
    ) -> Lane:
        """Return what to run `back` with.

        weights: as they are; kept, chain: as they were filled; features: their gradients [time, ...]; state: those of
        the last state; preactivations: filled with theirs, [time, ...]; last: nobody asks for this again, so that what
        was kept is let go of as the way back comes by. For a leaf that has no gradient, such as whole numbers, what
        came in goes out.
        """
        links = range(len(self.chain))
        # What a step is followed by is what the next one starts from, which the way back comes by before.
        after = self.weights + self.kept + len(links)
        there = [
            *map(Same, weights),
            *(Noted(kept, column, -first, last) for column in range(self.kept)),
            *(Noted(chain, at, -first, last and after + at not in self._needed) for at in links),
            *(Noted(chain, at, 1 - first, last) for at in links),
        ]
        leaves = range(len(state))
        given = compress([Row(features), *map(Carried, leaves)], self._given)
        asked = compress(leaves, self._asked[self._shown :])
        sinks = [*(Sink(row=whole) for whole in preactivations), *(Sink(slot=leaf) for leaf in asked)]
        return Lane([*(there[place] for place in self._needed), *given], sinks, state)

    def parts(self, batch: int) -> list[slice]:
        """Return the parts of a larger batch that are as large as that which was compiled for."""
        return [slice(start, start + self.batch) for start in range(0, batch, self.batch)]

    def places(self, steps: int, before: Tensors, after: Tensors = ()) -> Record:
        """Return places for the chain before each of some steps and after the last; what is known is filled in."""
        chain = self.there.record(steps + 1, len(self.chain))
        self.there.put(chain, 0, before)
        if after:
            self.there.put(chain, steps, after)
        return chain

    def chained(self, state: Tensors) -> Tensors:
        """Return the leaves that are a chain."""
        return tuple(state[leaf] for leaf in self.chain)

    @cached_property
    def again(self) -> Graph:
        """Makes the chain once more. Compiled when it is needed first: short sequences never do."""
        with self._tracing():
            return self._compiler(self._remaking, False, self._threads)

    def without_gradient(self, state: Tensors) -> list[Tensor]:
        """Return those leaves of a new state that no gradient flows back from."""
        return [leaf for leaf, given in zip(state, self._given[1:], strict=True) if not given]


Make = Callable[[Step, Tensors, Tensors, Any, int], CompiledStep]
"""Compiles a step for the sizes of its arguments, and for threads that share a call."""
