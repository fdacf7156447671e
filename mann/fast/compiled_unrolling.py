"""The compiled unrolling: a step is compiled once, and called for all times of each shard of a batch.

    shard     a part of the batch. A thread runs one at a time, so that the numbers of a step stay in its caches
    segment   a part of the sequence. There is one, unless recomputable states, such as memories, would take too much
              memory at all times: then segments are of about sqrt(time) steps, and only the states between them are
              saved. The backward pass recomputes the states within each segment when it gets there, so that about
              2 sqrt(time) of them exist at once, for one more computation of each (gradient checkpointing)

`mann.models.unrolling` has the protocol, and the plain unrolling that this one equals.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import isqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mann.fast.compiled_step import CompiledStep, StepCompiler
from mann.fast.equality import require_equal
from mann.fast.products import affine_all_steps, transposed_storage, weight_gradient
from mann.fast.scan import TensorTable
from mann.fast.torch_internals import retains_graph
from mann.models.unrolling import State, Step, Tensors, plain
from mann.support.trees import Structure, flatten, leaves_of, unflatten

RECOMPUTE_FROM = 2**26
"""Bytes of recomputable states at all steps from which on most are recomputed: with fewer, time is worth more."""

LARGEST_SHARD = 32
"""Sequences that a thread takes at a time: the numbers of a step of more do not stay in its caches."""


class _SavedShard(NamedTuple):
    """The tensors that the backward pass of a shard needs.

    Attributes:
        tables: The tensors of each step, a table for each segment.
        states: The recomputable states before each step and after the last, if there is one segment.
        checkpoints: Those before each segment and after the last, if there are several.
    """

    tables: list[TensorTable]
    states: list[TensorTable]
    checkpoints: list[Tensors]

    def begin_segment(self, step: CompiledStep, before: Tensors, steps: int, several: bool) -> None:
        """Make room for a segment; before: the state that it starts from."""
        self.tables.append(step.forward.new_table(steps, step.saved))
        if several:
            self.checkpoints.append(step.recomputable_leaves(before))
        else:
            self.states.append(step.state_table(steps, step.recomputable_leaves(before)))


class _ForwardPass(NamedTuple):
    """The result of a forward pass.

    Attributes:
        features: [time, batch, ...].
        weight_inputs: What each weight was multiplied with, each [time, batch, ...].
        saved: The tensors for the backward pass, by shard.
        state: The leaves of the last state.
    """

    features: Tensor
    weight_inputs: list[Tensor]
    saved: list[_SavedShard]
    state: Tensors


def number_of_shards(batch: int, device: torch.device) -> int:
    """Return into how many equal shards to cut a batch; a GPU takes it whole.

    Each thread has as many as the others, of `LARGEST_SHARD` sequences at most and half of that at least. A batch that
    cannot be cut so has one for each thread, or for fewer threads.
    """
    if device.type != "cpu":
        return 1
    threads = torch.get_num_threads()
    # Multiples of the threads: with any other number some threads would wait for the others at the end.
    candidates = range(threads, batch + 1, threads)
    fitting = (n for n in candidates if LARGEST_SHARD / 2 <= batch / n <= LARGEST_SHARD and batch % n == 0)
    return next(fitting, max(n for n in range(1, threads + 1) if batch % n == 0))


def _segment_length(step: CompiledStep, steps: int, state: Sequence[Tensor], recompute_from: int) -> int:
    """Return how many steps a segment has; state: its leaves, of the whole batch."""
    # With segments of length s, time / s states are saved and s are recomputed at once: the sum is least at sqrt(time).
    size = steps * sum(leaf.nbytes for leaf in step.recomputable_leaves(state))
    return isqrt(steps) if step.recomputable and size >= recompute_from else steps


def _segments(steps: int, length: int) -> list[range]:
    """Return the times of each segment."""
    return [range(first, min(first + length, steps)) for first in range(0, steps, length)]


def _forward(step: CompiledStep, tensors: Sequence[Tensor], length: int, save: bool = True) -> _ForwardPass:
    """Run the steps.

    Args:
        step: The compiled step.
        tensors: The weights, the preactivations [time, batch, ...] and the leaves of the state.
        length: Of a segment.
        save: Save the tensors that a backward pass needs; without, there is one segment.
    """
    weights, preactivations, state = step.split_inputs([tensor.detach() for tensor in tensors])
    # Once for all steps. Not in the step: its graph would do it at each of them.
    weights = tuple(map(transposed_storage, weights))
    steps, batch = preactivations[0].shape[:2]
    segments, shards = _segments(steps, length), step.shards(batch)
    # Every shard writes into its part of the same tensors, so that nothing has to be concatenated afterwards. The
    # inputs of weights are for the weights' gradients alone.
    features, *weight_inputs = _empty(step.outputs if save else step.outputs[:1], preactivations[0])
    saved = [_SavedShard([], [], []) for _ in shards]
    states = [tuple(leaf[shard] for leaf in state) for shard in shards]
    for times in segments:
        if save:
            for before, of_shard in zip(states, saved, strict=True):
                of_shard.begin_segment(step, before, len(times), len(segments) > 1)
        runs = [
            step.forward_shard(
                weights,
                _part(shard, preactivations),
                before,
                features[:, shard],
                _part(shard, weight_inputs),
                # Both are missing if nothing is saved; with several segments, only the states are.
                *of_shard.tables[-1:],
                *of_shard.states,
                first=times.start,
            )
            for shard, before, of_shard in zip(shards, states, saved, strict=True)
        ]
        # All shards of a segment in one call, which spreads them over the threads.
        states = step.forward.scan(times, runs)
    if len(segments) > 1:
        for after, of_shard in zip(states, saved, strict=True):
            of_shard.checkpoints.append(step.recomputable_leaves(after))
    return _ForwardPass(features, weight_inputs, saved, _join(states))


def _empty(sizes: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    """Return tensors [time, batch, ...], as long and as wide as another one, for tensors of these sizes at a step."""
    return [torch.empty(*like.shape[:2], *one.shape[1:], dtype=one.dtype, device=like.device) for one in sizes]


def _part(shard: slice, tensors: Sequence[Tensor]) -> Tensors:
    """Return the shard of tensors [time, batch, ...]."""
    return tuple(tensor[:, shard] for tensor in tensors)


def _join(states: Sequence[Tensors]) -> Tensors:
    """Return the state of a batch from those of its shards."""
    return states[0] if len(states) == 1 else tuple(torch.cat(leaves) for leaves in zip(*states, strict=True))


def _backward(
    step: CompiledStep,
    weights: Tensors,
    saved: Sequence[_SavedShard],
    length: int,
    features: Tensor,
    state: Tensors,
    free: bool,
) -> tuple[list[Tensor], Tensors]:
    """Return the gradients of the preactivations and of the first state.

    Args:
        step: The compiled step.
        weights: Contiguous.
        saved: As the forward pass filled it.
        length: Of a segment.
        features: The gradients of the features, [time, batch, ...].
        state: The gradients of the last state's leaves.
        free: Free saved tensors as they are read.
    """
    steps, batch = features.shape[:2]
    shards = step.shards(batch)
    preactivations = _empty(step.preactivations, features)
    gradients = [tuple(leaf[shard] for leaf in state) for shard in shards]
    # From the last segment to the first; within a segment from the last time to the first.
    for number, times in reversed(list(enumerate(_segments(steps, length)))):
        # Segment by segment, not all at once: the states of one segment are gone before the next are recomputed.
        tables = [table for of_shard in saved for table in of_shard.states] or _recompute(step, saved, number, times)
        runs = [
            step.backward_shard(
                weights,
                of_shard.tables[number],
                states,
                features[:, shard],
                after,
                _part(shard, preactivations),
                first=times.start,
                free=free,
            )
            for shard, after, of_shard, states in zip(shards, gradients, saved, tables, strict=True)
        ]
        gradients = step.backward.scan(times[::-1], runs)
    return preactivations, _join(gradients)


def _recompute(step: CompiledStep, saved: Sequence[_SavedShard], number: int, times: range) -> list[TensorTable]:
    """Return the recomputable states before and after each step of a segment, for each shard."""
    tables = [step.state_table(len(times), *of_shard.checkpoints[number : number + 2]) for of_shard in saved]
    runs = [
        step.recompute_shard(of_shard.tables[number], states, of_shard.checkpoints[number], times.start)
        for of_shard, states in zip(saved, tables, strict=True)
    ]
    # Not the last time: the state after it is the next checkpoint, which is in the table already.
    step.recompute.scan(times[:-1], runs)
    return tables


class _Unrolled(Function):
    """A compiled step, run over time and differentiated.

    A weight's gradient is computed once for all steps. For z_t = p_t + W h_t it is sum_t dz_t h_t^T, where dz_t is also
    the gradient of the preactivation p_t. So the backward graph returns dz_t, and one product over all steps is left:
    a large one, which runs at full speed, where the products of single steps would wait for memory.
    """

    @staticmethod
    def forward(ctx: Any, step: CompiledStep, length: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        result = _forward(step, tensors, length)
        ctx.step, ctx.length = step, length
        leaves, ctx.structure = flatten(result.saved)
        # Saved by autograd, which frees them after the backward pass, and not as attributes of `ctx`: the last state,
        # an output, may be among them, and an output that its own graph refers to would never be freed.
        saved = (leaf for leaf in leaves if isinstance(leaf, Tensor))
        ctx.save_for_backward(*tensors[: step.weights], *result.weight_inputs, *saved)
        ctx.leaves = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        ctx.mark_non_differentiable(*step.without_gradient(result.state))
        return result.features, *result.state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        features, *state = (gradient.contiguous() for gradient in gradients)
        step: CompiledStep = ctx.step
        # In the order in which `forward` saved them. Only tensors went through autograd: the rest of the tables, such
        # as the number of columns, is in `ctx.leaves`, with None where a tensor belongs.
        count, saved = step.weights, ctx.saved_tensors
        weights, weight_inputs, saved = saved[:count], saved[count : 2 * count], iter(saved[2 * count :])
        tables = unflatten(ctx.structure, [next(saved) if leaf is None else leaf for leaf in ctx.leaves])
        # With `retain_graph` there may be another backward pass, which needs the same tensors.
        free = not retains_graph()
        preactivations, state = _backward(step, weights, tables, ctx.length, features, tuple(state), free)
        # Preactivations are in the order of the weights; `needs_input_grad` counts `step` and `length` before these.
        of_weights = [
            weight_gradient(gradient.flatten(0, 1), inputs.flatten(0, 1)) if needed else None
            for gradient, inputs, needed in zip(preactivations, weight_inputs, ctx.needs_input_grad[2:], strict=False)
        ]
        return None, None, *of_weights, *preactivations, *state


class CompiledUnrolling:
    """Each step compiled, forward and backward, and the gradient of a weight in one product over all steps.

    Equal to `plain` up to rounding, in values and in first derivatives (second derivatives raise an error). A step is
    compiled for each size of its tensors, when gradients are first recorded for that size. Without gradients, a size
    that was never trained on runs the plain way: compiling would take longer.

    Args:
        compile_step: Compiles a step.
        shards: Returns into how many equal shards to cut a batch, from (batch, device).
        recompute_from: Bytes of recomputable states at all steps from which on they are recomputed, not all saved.
    """

    affine = staticmethod(affine_all_steps)

    def __init__(
        self,
        compile_step: StepCompiler = CompiledStep,
        shards: Callable[[int, torch.device], int] = number_of_shards,
        recompute_from: int = RECOMPUTE_FROM,
    ):
        self._compile_step, self._shards, self._recompute_from = compile_step, shards, recompute_from
        self._steps: dict[Any, CompiledStep] = {}
        self._verified: set[tuple[CompiledStep, bool]] = set()

    def __call__(
        self, step: Step[State], weights: Tensors, preactivations: Tensors, state: State
    ) -> tuple[Tensor, State]:
        """See `mann.models.unrolling.Unrolling`."""
        return self.bind(step, weights, preactivations, state)()

    def bind(
        self, step: Step[State], weights: Tensors, preactivations: Tensors, state: State
    ) -> Callable[[], tuple[Tensor, State]]:
        """Return the unrolling of these tensors; whatever may go wrong with compiling does so here, not in its call.

        Raises:
            MismatchError: Compiled code does not compute what the plain way does.
            Exception: The step cannot be compiled.
        """
        leaves, structure = flatten(state)
        compiled = self._compiled(step, weights, preactivations, leaves, structure)
        if compiled is None:
            return partial(plain, step, weights, preactivations, state)
        steps = len(preactivations[0])
        # Without gradients nothing is saved, and nothing recomputed.
        length = steps
        if torch.is_grad_enabled():
            length = _segment_length(compiled, steps, leaves, self._recompute_from)
            self._verify(step, compiled, length < steps, (weights, preactivations, leaves), structure)

        def run() -> tuple[Tensor, State]:
            # Compiled code is for contiguous tensors; an expanded bias, for example, is not.
            tensors = [tensor.contiguous() for tensor in (*weights, *preactivations, *leaves)]
            if torch.is_grad_enabled():
                features, *after = _Unrolled.apply(compiled, length, *tensors)
            else:
                features, _, _, after = _forward(compiled, tensors, length, save=False)
            return features, unflatten(structure, after)

        return run

    def _compiled(
        self,
        step: Step,
        weights: Tensors,
        preactivations: Tensors,
        leaves: Sequence[Tensor],
        structure: Structure,
    ) -> CompiledStep | None:
        """Return the step compiled for these sizes; None where it is not, and no gradients are recorded."""
        batch, device = preactivations[0].shape[1], preactivations[0].device
        shards = self._shards(batch, device)
        # One shard that all threads share, or shards that each have a thread to themselves: that is other code.
        first, threads = slice(batch // shards), torch.get_num_threads() if shards == 1 else 1
        now, leaves = tuple(whole[0, first] for whole in preactivations), [leaf[first] for leaf in leaves]
        sizes = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in (*weights, *now, *leaves))
        # The step itself is part of the key: one unrolling may serve several networks.
        key = (step, structure, sizes, threads)
        if key not in self._steps and torch.is_grad_enabled():
            self._steps[key] = self._compile_step(step, weights, now, unflatten(structure, leaves), threads)
        return self._steps.get(key)

    def _verify(
        self,
        step: Step[State],
        compiled: CompiledStep,
        segmented: bool,
        tensors: tuple[Tensors, Tensors, Sequence[Tensor]],
        structure: Structure,
    ) -> None:
        """Compare a compiled step with the plain one, once, from the first steps of a shard.

        segmented: With states that are recomputed, which takes another graph.
        tensors: Weights, preactivations and the leaves of the state.
        """
        if (compiled, segmented) in self._verified:
            return
        steps, length = (3, 2) if segmented else (2, 2)
        weights, preactivations, leaves = tensors
        times = torch.arange(steps) % len(preactivations[0])
        inputs = [
            *weights,
            *(whole[times.to(whole.device), : compiled.batch] for whole in preactivations),
            *(leaf[: compiled.batch] for leaf in leaves),
        ]

        def plainly(inputs: Sequence[Tensor]) -> list[Tensor]:
            weights, preactivations, leaves = compiled.split_inputs(inputs)
            features, after = plain(step, weights, preactivations, unflatten(structure, leaves))
            return [features, *leaves_of(after)]

        def quickly(inputs: Sequence[Tensor]) -> list[Tensor]:
            return list(_Unrolled.apply(compiled, length, *(one.contiguous() for one in inputs)))

        require_equal(quickly, plainly, inputs)
        self._verified.add((compiled, segmented))
