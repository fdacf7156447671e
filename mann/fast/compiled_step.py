"""Compiling one step of a recurrent network and its gradient, for `mann.fast.compiled_unrolling`.

A compiler that gets the whole loop compiles each of its turns, which takes that much longer. `torch.compile` of a
single step puts checks and bookkeeping around each call, which take longer than the step. So here a step is

    traced        once, together with its gradient, into one joint graph (make_fx)
    partitioned   into a forward and a backward graph; torch's partitioner decides which tensors are saved in between
    relieved      of saved tensors that can be recomputed, into a third graph (`mann.fast.recomputation`)
    compiled      each graph on its own, by Inductor (with `mann.fast.lowering`)

A call is then nothing but the compiled code, which `mann.fast.scan` runs for one time after another.

Names of torch that are not public are those of `mann.fast.torch_internals`.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import compress
from typing import Any
from unittest.mock import patch

import torch
from functorch.compile import min_cut_rematerialization_partition
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.graph import CodeGen
from torch.utils.checkpoint import CheckpointPolicy

from mann.fast import lowering, torch_internals
from mann.fast.native_scan import NativeScan
from mann.fast.recomputation import extract_subgraph, recomputable_states
from mann.fast.scan import Carry, Constant, Output, PerStep, PythonScan, Saved, Scan, Shard, TensorTable
from mann.models.unrolling import Step, Tensors
from mann.support.trees import Structure, flatten, leaves_of, structure_of, unflatten

Compiler = Callable[[GraphModule, bool, int], Scan]
"""(graph, whether it is the backward graph, how many threads share a call) -> a scan of the graph."""

NUMBERS_PER_THREAD = 2**15
"""Numbers that are worth waking another thread for, as in torch's own operations."""


def inductor(graph: GraphModule, backward: bool, threads: int) -> Scan:
    """Compile a graph; see `Compiler`."""
    output: Any = graph.graph.output_node()
    # The graphs are traced for contiguous tensors, and Inductor may choose another layout for an output that it takes
    # for internal. So all outputs are declared visible to the user, with their strides as traced.
    output.meta["original_output_strides"] = [node.meta["val"].stride() for node in output.args[0]]
    output.meta["user_visible_output_idxs"] = range(len(output.args[0]))
    inputs = [node.meta["val"] for node in graph.graph.find_nodes(op="placeholder")]
    # Kernels are called from C++, where a call costs less; on a GPU that would require its toolkit.
    from_cpp = all(tensor.device.type == "cpu" for tensor in inputs)
    options = {"cpp_wrapper": from_cpp, "cpp.min_chunk_size": NUMBERS_PER_THREAD, "cpp.threads": threads}
    # Inductor would have its text compiled and wrapped for Python; it is compiled here like other C++ code, and called
    # from C++. What Inductor calls its entry is the text then.
    written = patch.object(torch_internals.CppWrapperCodeCache, "load_pybinding", _text)
    with lowering.custom_lowerings(), trusted_vectors(), torch_internals.config.patch(options), written:
        compiled: Any = torch_internals.compile_fx_inner(graph, inputs, is_backward=backward, cpp_wrapper=from_cpp)
    return NativeScan(compiled.current_callable.__globals__["inductor_entry"]) if from_cpp else PythonScan(compiled)


def _text(*, main_code: str, **_: object) -> str:
    """Return what Inductor wrote."""
    return main_code


@contextmanager
def trusted_vectors() -> Iterator[None]:
    """Compile for the vector instructions that the processor reports, without test programs.

    Inductor compiles and runs such programs anew in each process, which takes 5 to 15 seconds. Those for numbers of 8
    and 16 bits can only be skipped by letting these vector instructions count as missing.
    """
    trusted = torch_internals.config.patch({"cpp.vec_isa_ok": True})
    with trusted, patch.object(torch_internals.VecISA, "check_build", return_value=False):
        yield


def interpreted(graph: GraphModule, backward: bool, threads: int) -> Scan:
    """Run a graph operation by operation, uncompiled: the reference of `inductor`; see `Compiler`."""
    return PythonScan(lambda inputs: graph(*inputs))


class UnsuitableStepError(Exception):
    """A step that cannot be compiled, though it may be run; the message says why."""


class CompiledStep:
    """A step for tensors of one size, and its gradient.

    All tensors that go in are contiguous, and so are those that come out; but `forward` takes weights of
    `mann.fast.products.transposed_storage`. Weights are constants to the gradient.

    Attributes:
        forward, backward: The graphs; `forward_shard` and `backward_shard` return the inputs and outputs of a scan.
        weights: How many weights there are.
        batch: How many sequences a call takes.
        preactivations: Tensors without numbers, of the sizes of the preactivations.
        outputs: The same of the features and the input of each weight.
        saved: How many tensors are saved for the backward graph, besides the recomputable states.
        recomputable: Which leaves of the state are recomputable: the backward graph needs them before each step and
            after it, and `recompute` makes them again (`mann.fast.recomputation`).

    Args:
        step: The step. It depends on nothing but its arguments and what never changes.
        weights, preactivations, state: Tensors of the sizes to compile for.
        threads: How many threads share a call; 1 where each thread has calls of its own.
        compiler: Compiles a graph.
    """

    def __init__(
        self,
        step: Step,
        weights: Tensors,
        preactivations: Tensors,
        state: object,
        threads: int = 1,
        compiler: Compiler = inductor,
    ):
        leaves, structure = flatten(state)
        tensors = [*weights, *preactivations, *leaves]
        self.weights, self._first_leaf = len(weights), len(weights) + len(preactivations)
        self.batch = len(preactivations[0])
        # By input. Not of weights: their gradients are summed over the steps, in one product after all of them.
        self._needs_gradient = [n >= self.weights and tensor.is_floating_point() for n, tensor in enumerate(tensors)]
        # One mode for all graphs: a fake tensor of one mode is refused by another.
        self._threads, self._compiler, self._mode = (
            threads,
            compiler,
            torch_internals.FakeTensorMode(shape_env=ShapeEnv()),
        )
        with self._tracing():
            joint, inputs = self._trace(step, [tensor.detach().contiguous() for tensor in tensors], structure)
            forward, backward = self._partition(joint, inputs)
            # Both change what the compiler sees, and have to come before it.
            self._transpose_weights(forward)
            self._recompute_graph = self._separate_recomputable(forward)
            self.forward, self.backward = compiler(forward, False, threads), compiler(backward, True, threads)

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        """Return the context that torch's compilers expect: their graphs' sizes belong to one mode of fake tensors."""
        context = torch_internals.TracingContext(self._mode)
        with warnings.catch_warnings(), torch_internals.tracing(context):
            warnings.simplefilter("ignore")  # torch's, about its own code
            yield

    def _trace(self, step: Step, tensors: list[Tensor], structure: Structure) -> tuple[GraphModule, list[Tensor]]:
        """Return the joint graph of the step and its gradient, and the inputs of this graph."""

        def step_and_gradient(primals: list[Tensor], tangents: list[Tensor]) -> list[Tensor]:
            inputs, outputs = self._run(step, primals, structure)
            # `compress` stops at the shorter of both: the inputs of weights, the last outputs, have no tangents.
            wanted, known = compress(inputs, self._needs_gradient), compress(outputs, self._has_gradient)
            gradients = torch.autograd.grad(list(known), list(wanted), tangents, materialize_grads=True)
            return [*(tensor.detach() for tensor in outputs), *(gradient.contiguous() for gradient in gradients)]

        # What a step writes in place becomes new tensors: a graph that writes cannot be partitioned.
        functional = torch_internals.dispatch_functionalize(step_and_gradient)

        # The names of the arguments are torch's: its partitioner recognises the inputs, and the gradients of the
        # outputs, by them.
        def joint(primals: list[Tensor], tangents: list[Tensor]) -> list[Tensor]:
            return functional(primals, tangents)

        # With fake tensors, which hold no numbers: a tensor that the step was not given as an argument is refused.
        # Traced with real ones, it would be built into the code as a constant.
        with self._mode:
            primals: list[Tensor] = [self._mode.from_tensor(tensor, static_shapes=True) for tensor in tensors]
            # Once without tracing, for the sizes of the outputs: the gradients that come in have the same.
            outputs = self._run(step, primals, structure)[1]
            self._note_outputs(outputs, primals, structure.num_leaves)
            self._require_constant_sizes(outputs[1 : 1 + structure.num_leaves], primals[self._first_leaf :])
            tangents = [torch.empty_like(tensor) for tensor in compress(outputs, self._has_gradient)]
            graph = make_fx(joint, decomposition_table=torch_internals.select_decomp_table())(primals, tangents)
            _clean(graph)
            torch_internals.joint_graph_passes(graph)
            self._forbid_saving_weights(graph)
        return graph, [*primals, *tangents]

    def _run(self, step: Step, inputs: Sequence[Tensor], structure: Structure) -> tuple[list[Tensor], list[Tensor]]:
        """Run the step for autograd; return its inputs, and its outputs: features, new state, inputs of weights."""
        # New leaves of autograd's graph, so that gradients can be taken with respect to them.
        inputs = [one.detach().requires_grad_(needed) for one, needed in zip(inputs, self._needs_gradient, strict=True)]
        weights, preactivations, leaves = self.split_inputs(inputs)
        with torch.enable_grad():
            features, weight_inputs, after = step(weights, preactivations, unflatten(structure, leaves))
            if structure_of(after) != structure:
                raise UnsuitableStepError("a step changes the structure of its state")
            outputs = [one.contiguous() for one in (features, *leaves_of(after), *weight_inputs)]
        return inputs, outputs

    def _note_outputs(self, outputs: list[Tensor], primals: list[Tensor], leaves: int) -> None:
        """Set the attributes that follow from the outputs of a run."""
        self._outputs = len(outputs)
        self.preactivations = primals[self.weights : self._first_leaf]
        self.outputs = [outputs[0], *outputs[1 + leaves :]]
        # By output, and not of weights' inputs: these are read after all steps, outside of autograd. Others have none
        # where no gradient flows back from them, as from whole numbers.
        self._has_gradient = [tensor.requires_grad for tensor in outputs[: 1 + leaves]]

    def _require_constant_sizes(self, after: list[Tensor], before: list[Tensor]) -> None:
        """Refuse a step whose state grows, or changes its type: the next step could not start from it."""
        pairs = zip(after, before, strict=True)
        if any((one.shape, one.dtype) != (other.shape, other.dtype) for one, other in pairs):
            raise UnsuitableStepError("a step changes the sizes or types of its state, as where a memory grows")

    def _forbid_saving_weights(self, joint: GraphModule) -> None:
        """Have both graphs take weights as inputs; a transposed view, saved at each step, would be one more tensor."""
        for weight in joint.graph.find_nodes(op="placeholder")[: self.weights]:
            for view in weight.users:
                view.meta["recompute"] = CheckpointPolicy.MUST_RECOMPUTE

    def _partition(self, joint: GraphModule, inputs: list[Tensor]) -> tuple[GraphModule, GraphModule]:
        """Return the forward and the backward graph."""
        # By default torch saves the operands of products in the backward graph. Where they take little to compute, they
        # are recomputed too: that saves a fifth of the memory.
        with torch_internals.partitioner_config.patch(ban_recompute_materialized_backward=False):
            return min_cut_rematerialization_partition(
                joint, inputs, num_fwd_outputs=self._outputs, static_lifetime_input_indices=[]
            )

    def _transpose_weights(self, forward: GraphModule) -> None:
        """Declare weights as `transposed_storage` of `mann.fast.products`: forward products read them row by row."""
        for node in forward.graph.find_nodes(op="placeholder")[: self.weights]:
            node.meta["val"] = node.meta["val"].T.contiguous().T

    def _separate_recomputable(self, forward: GraphModule) -> GraphModule:
        """Take the recomputable states out of the saved tensors, and return the graph that recomputes them.

        The forward graph saves their sources instead. Also notes where each input of the backward graph comes from.
        """
        inputs, output = forward.graph.find_nodes(op="placeholder"), forward.graph.output_node()
        nodes: Any = output.args[0]
        # The partitioner put the tensors that it saves after the outputs of the step, in the order in which the
        # backward graph takes them.
        values, needed = nodes[: self._outputs], nodes[self._outputs :]
        states = recomputable_states(list(zip(inputs[self._first_leaf :], values[1:], strict=False)), needed)
        self.recomputable = tuple(states)
        before, after = [state.before for state in states.values()], [state.after for state in states.values()]
        sources = [source for state in states.values() for source in state.sources]
        # Weights are not saved either: they are the same at each step. Each tensor once, in the order of the graph.
        elsewhere = {*before, *after, *inputs[: self.weights]}
        saved = list(dict.fromkeys([*(node for node in needed if node not in elsewhere), *sources]))
        self.saved = len(saved)
        # The order of the inputs in `backward_shard`.
        self._needed = [[*inputs[: self.weights], *saved, *before, *after].index(node) for node in needed]
        output.args = ((*values, *saved),)
        forward.recompile()
        return extract_subgraph(forward, [*saved, *before], after)

    def split_inputs(self, tensors: Sequence[Tensor]) -> tuple[Tensors, Tensors, Tensors]:
        """Return the weights, the preactivations and the leaves of the state, from a list of them all."""
        weights, preactivations = tensors[: self.weights], tensors[self.weights : self._first_leaf]
        return tuple(weights), tuple(preactivations), tuple(tensors[self._first_leaf :])

    def forward_shard(
        self,
        weights: Tensors,
        preactivations: Tensors,
        state: Tensors,
        features: Tensor,
        weight_inputs: Sequence[Tensor] = (),
        saved: TensorTable | None = None,
        states: TensorTable | None = None,
        first: int = 0,
    ) -> Shard:
        """Return the inputs and outputs of `forward` for a scan.

        Args:
            weights: Of `transposed_storage`.
            preactivations: [time, ...].
            state: The leaves of the state before the first step.
            features: Filled, [time, ...].
            weight_inputs: Filled with the input of each weight, [time, ...]; none: they are dropped.
            saved: Row `time - first` is filled with the tensors that `backward` needs.
            states: Row `time - first + 1` is filled with the recomputable states, those after the step.
            first: The time of the tables' first row.
        """
        inputs = [*map(Constant, weights), *map(PerStep, preactivations), *map(Carry, range(len(state)))]
        leaves = enumerate(self.recomputable)
        # A recomputable state is written twice: to the next step, and to the table.
        rows = {} if states is None else {leaf: Saved(states, n, 1 - first) for n, leaf in leaves}
        after = [Output(saved=rows.get(leaf), carry=leaf) for leaf in range(len(state))]
        multiplied = [Output(stacked=one) for one in weight_inputs] or [Output()] * self.weights
        needed = [Output() if saved is None else Output(saved=Saved(saved, n, -first)) for n in range(self.saved)]
        return Shard(inputs, [Output(stacked=features), *after, *multiplied, *needed], state)

    def recompute_shard(self, saved: TensorTable, states: TensorTable, before: Tensors, first: int) -> Shard:
        """Return the inputs and outputs of `recompute` for a scan.

        Args:
            saved: As `forward` filled it.
            states: Row `time - first + 1` is filled.
            before: The recomputable states before the first step.
            first: The time of the tables' first row.
        """
        leaves = range(len(self.recomputable))
        inputs = [*(Saved(saved, n, -first) for n in range(self.saved)), *map(Carry, leaves)]
        return Shard(inputs, [Output(saved=Saved(states, n, 1 - first), carry=n) for n in leaves], before)

    def backward_shard(
        self,
        weights: Tensors,
        saved: TensorTable,
        states: TensorTable,
        features: Tensor,
        state: Tensors,
        preactivations: Tensors,
        first: int = 0,
        free: bool = False,
    ) -> Shard:
        """Return the inputs and outputs of `backward` for a scan, which takes the times in descending order.

        Args:
            weights: Contiguous.
            saved: As `forward` filled it.
            states: As `forward` or `recompute` filled it.
            features: The gradients of the features, [time, ...].
            state: The gradients of the last state. A leaf without gradient, such as whole numbers, stays as it is.
            preactivations: Filled with their gradients, [time, ...].
            first: The time of the tables' first row.
            free: No other backward pass needs the tables: tensors are freed as soon as they have been read.
        """
        leaves = range(len(self.recomputable))
        # Row t + 1 of `states` is the state after step t and, too, the one before step t + 1, which a backward pass
        # reads first. So reading "after" frees the row, being the last to read it. Reading "before" frees it only if
        # the graph has no input "after", by which the next step would.
        after = self.weights + self.saved + len(leaves)
        places = [
            *map(Constant, weights),
            *(Saved(saved, column, -first, free) for column in range(self.saved)),
            *(Saved(states, n, -first, free and after + n not in self._needed) for n in leaves),
            *(Saved(states, n, 1 - first, free) for n in leaves),
        ]
        # The gradient of a state is the carry, as the state is in the forward pass.
        known = compress([PerStep(features), *map(Carry, range(len(state)))], self._has_gradient)
        wanted = compress(range(len(state)), self._needs_gradient[self._first_leaf :])
        outputs = [*(Output(stacked=one) for one in preactivations), *(Output(carry=leaf) for leaf in wanted)]
        return Shard([*(places[n] for n in self._needed), *known], outputs, state)

    def shards(self, batch: int) -> list[slice]:
        """Return the parts of a batch that are as large as the batch compiled for."""
        return [slice(start, start + self.batch) for start in range(0, batch, self.batch)]

    def state_table(self, steps: int, before: Tensors, after: Tensors = ()) -> TensorTable:
        """Return a table of the recomputable states before each of some steps and after the last.

        before, after: The first row, and the last if it is known already.
        """
        table = self.forward.new_table(steps + 1, len(self.recomputable))
        self.forward.fill_row(table, 0, before)
        if after:
            self.forward.fill_row(table, steps, after)
        return table

    def recomputable_leaves(self, state: Sequence[Tensor]) -> Tensors:
        """Return the leaves of a state that are recomputable."""
        return tuple(state[leaf] for leaf in self.recomputable)

    @cached_property
    def recompute(self) -> Scan:
        """The graph that recomputes states. Compiled when it is first needed: short sequences never need it."""
        with self._tracing():
            return self._compiler(self._recompute_graph, False, self._threads)

    def without_gradient(self, state: Tensors) -> list[Tensor]:
        """Return the leaves of a new state that no gradient flows back from."""
        return [leaf for leaf, known in zip(state, self._has_gradient[1:], strict=True) if not known]


def _clean(graph: GraphModule) -> None:
    """Drop operations that nothing uses, and have the graph take its inputs one by one, not as two lists."""
    graph.graph.set_codegen(CodeGen())
    graph.graph.eliminate_dead_code()
    graph.recompile()


StepCompiler = Callable[[Step, Tensors, Tensors, Any, int], CompiledStep]
"""(step, weights, preactivations, state, threads) -> the step compiled for these sizes, see `CompiledStep`."""
