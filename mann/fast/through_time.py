"""Running a step function through time: the plain way, and the fast way.

Both take and return the same, so that a network holds one of them and a test holds them equal:

    (step, weights, preactivations, state) -> (features, state)

and both say with `affine` how to multiply what is known of all steps beforehand (`mann.fast.products`).

weights: the weights that are used again at every step; preactivations: as many, each [time, batch, width], what is
added to the product of that weight and does not depend on the step before; step(weights, preactivations at t, state)
returns the features [batch, ...], what each weight was multiplied with, and the new state. All tensors of the state are
[batch, ...], and no sequence of a batch depends on another: the fast way cuts a batch into lanes.
"""

import warnings
from collections.abc import Iterable, Sequence
from math import isqrt
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.utils import _pytree as pytree

from episodes.native import has_compiler
from mann.fast.compiled_step import CompiledStep, Make, Step, Tensors
from mann.fast.products import Affine, affine, gathered, quick, turned
from mann.fast.scan import Record

WORTH_MAKING_AGAIN = 2**26
"""Bytes of memories at all steps from which on most are made again on the way back: below, time counts more."""

LONGEST_LANE = 32
"""Sequences that a thread takes at a time: what a step makes of more does not stay in its caches."""


class Unrolling(Protocol):
    """A way through time; see the module's docstring."""

    @property
    def affine(self) -> Affine:
        """How all steps' inputs are multiplied with a weight at once."""
        ...

    def __call__(self, step: Step, weights: Tensors, preactivations: Tensors, state: Any) -> tuple[Tensor, Any]:
        """Return features and the last state."""
        ...


class Plain:
    """One step after the other: the reference."""

    affine = staticmethod(affine)

    def __call__(self, step: Step, weights: Tensors, preactivations: Tensors, state: Any) -> tuple[Tensor, Any]:
        """See the module's docstring."""
        features = []
        for now in _step_by_step(preactivations):
            feature, _, state = step(weights, now, state)
            features.append(feature)
        return torch.stack(features), state


plain = Plain()


def _step_by_step(preactivations: Tensors) -> Iterable[Tensors]:
    """Return the preactivations at each step."""
    return zip(*(part.unbind(0) for part in preactivations), strict=True)


class _Kept(NamedTuple):
    """What the way back needs of a lane.

    Attributes:
        steps: What each step needs, by span.
        chain: The chain before each step and after the last, if there is one span.
        links: That before each span and after the last, if there are several.
    """

    steps: list[Record]
    chain: list[Record]
    links: list[Tensors]


class _Run(NamedTuple):
    """What came of a compiled step, called for one time after another.

    Attributes:
        features: [time, batch, ...].
        used: What each weight was multiplied with, each [time, batch, ...].
        kept: What the way back needs, of each lane.
        state: The last one.
    """

    features: Tensor
    used: list[Tensor]
    kept: list[_Kept]
    state: Tensors


def _lanes(batch: int, device: torch.device) -> int:
    """Return into how many equal parts to cut a batch; a GPU takes it whole.

    Each thread has as many, of `LONGEST_LANE` sequences at most and half of that at least. A batch that cannot be cut
    so has one for each thread, or for fewer threads.
    """
    if device.type != "cpu":
        return 1
    threads = torch.get_num_threads()
    shares = range(threads, batch + 1, threads)
    good = (parts for parts in shares if LONGEST_LANE / 2 <= batch / parts <= LONGEST_LANE and batch % parts == 0)
    return next(good, max(parts for parts in range(1, threads + 1) if batch % parts == 0))


def _spans(steps: int, every: int) -> list[range]:
    """Return the times of spans of so many steps."""
    return [range(first, min(first + every, steps)) for first in range(0, steps, every)]


def _run(step: CompiledStep, tensors: Sequence[Tensor], every: int, keep: bool = True) -> _Run:
    """Run from the weights, the preactivations [time, batch, ...] and the leaves of the state.

    every: How many steps are a span.
    """
    weights, preactivations, state = step.parted([tensor.detach() for tensor in tensors])
    weights = tuple(map(turned, weights))
    steps, batch = preactivations[0].shape[:2]
    spans, parts = _spans(steps, every), step.parts(batch)
    several = len(spans) > 1
    features, *used = _empty(step.outputs if keep else step.outputs[:1], preactivations[0])
    kept = [_Kept([], [], []) for _ in parts]
    states = [tuple(leaf[part] for leaf in state) for part in parts]
    for times in spans:
        for before, notes in zip(states, kept, strict=True):
            if keep:
                notes.steps.append(step.there.record(len(times), step.kept))
            if keep and not several:
                notes.chain.append(step.places(steps, step.chained(before)))
            if several:
                notes.links.append(step.chained(before))
        lanes = [
            step.way_there(
                weights,
                _of(part, preactivations),
                before,
                features[:, part],
                _of(part, used),
                *notes.steps[-1:],
                *notes.chain,
                first=times.start,
            )
            for part, before, notes in zip(parts, states, kept, strict=True)
        ]
        states = step.there.scan(times, lanes)
    if several:
        for after, notes in zip(states, kept, strict=True):
            notes.links.append(step.chained(after))
    return _Run(features, used, kept, _joined(states))


def _empty(sizes: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    """Return tensors [time, batch, ...] for what has such sizes at a step, as long and wide as another."""
    return [torch.empty(*like.shape[:2], *one.shape[1:], dtype=one.dtype, device=like.device) for one in sizes]


def _of(part: slice, wholes: Sequence[Tensor]) -> Tensors:
    """Return the part of a batch of tensors [time, batch, ...]."""
    return tuple(whole[:, part] for whole in wholes)


def _joined(states: Sequence[Tensors]) -> Tensors:
    """Put together the states of all parts of a batch."""
    return states[0] if len(states) == 1 else tuple(torch.cat(leaves) for leaves in zip(*states, strict=True))


def _back(
    step: CompiledStep,
    weights: Tensors,
    kept: Sequence[_Kept],
    every: int,
    features: Tensor,
    state: Tensors,
    last: bool,
) -> tuple[list[Tensor], Tensors]:
    """Return the gradients of the preactivations and of the first state.

    features, state: Those of the features [time, batch, ...] and of the last state; last: what was kept may go.
    """
    steps, batch = features.shape[:2]
    parts = step.parts(batch)
    preactivations = _empty(step.preactivations, features)
    states = [tuple(leaf[part] for leaf in state) for part in parts]
    for number, times in reversed(list(enumerate(_spans(steps, every)))):
        chains = [chain for notes in kept for chain in notes.chain] or _chains(step, kept, number, times)
        lanes = [
            step.way_back(
                weights,
                notes.steps[number],
                chain,
                features[:, part],
                after,
                _of(part, preactivations),
                first=times.start,
                last=last,
            )
            for part, after, notes, chain in zip(parts, states, kept, chains, strict=True)
        ]
        states = step.back.scan(times[::-1], lanes)
    return preactivations, _joined(states)


def _chains(step: CompiledStep, kept: Sequence[_Kept], number: int, times: range) -> list[Record]:
    """Make the chain of a span again, for each lane."""
    chains = [step.places(len(times), notes.links[number], notes.links[number + 1]) for notes in kept]
    lanes = [
        step.way_again(notes.steps[number], chain, notes.links[number], times.start)
        for notes, chain in zip(kept, chains, strict=True)
    ]
    step.again.scan(times[:-1], lanes)
    return chains


class _ThroughTime(Function):
    """A compiled step, for one time after another, and back.

    A weight's gradient is taken once for all steps: that of z_t = p_t + W h_t with respect to W is sum_t dz_t h_t^T,
    and dz_t is the gradient of p_t.
    """

    @staticmethod
    def forward(ctx: Any, step: CompiledStep, *tensors: Tensor) -> tuple[Tensor, ...]:
        weights, preactivations, state = step.parted(tensors)
        steps = len(preactivations[0])
        size = steps * sum(leaf.nbytes for leaf in step.chained(state))
        ctx.step, ctx.every = step, isqrt(steps) if step.chain and size >= WORTH_MAKING_AGAIN else steps
        run = _run(step, tensors, ctx.every)
        leaves, ctx.structure = pytree.tree_flatten(run.kept)
        # By autograd, which frees all after the way back; the last state may be among what the last step keeps.
        ctx.save_for_backward(*weights, *run.used, *(leaf for leaf in leaves if isinstance(leaf, Tensor)))
        ctx.leaves = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        ctx.mark_non_differentiable(*step.without_gradient(run.state))
        return run.features, *run.state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        features, *state = (gradient.contiguous() for gradient in gradients)
        step: CompiledStep = ctx.step
        count, saved = step.weights, ctx.saved_tensors
        weights, used, saved = saved[:count], saved[count : 2 * count], iter(saved[2 * count :])
        kept = pytree.tree_unflatten([next(saved) if leaf is None else leaf for leaf in ctx.leaves], ctx.structure)
        # With `retain_graph` there may be another way back.
        last = not torch._C._autograd._get_current_graph_task_keep_graph()  # pyright: ignore[reportAttributeAccessIssue]
        preactivations, state = _back(step, weights, kept, ctx.every, features, tuple(state), last)
        of_weights = [
            gathered(gradient.flatten(0, 1), inputs.flatten(0, 1)) if asked else None
            for gradient, inputs, asked in zip(preactivations, used, ctx.needs_input_grad[1:], strict=False)
        ]
        return None, *of_weights, *preactivations, *state


class Compiled:
    """The fast way: each step compiled, forward and backward, and weight gradients in one product after the loop.

    Equal to `plain` up to rounding, in values and in first derivatives (second derivatives are refused). A step is
    compiled for each size of its tensors, when gradients are first recorded for it. Without gradients, a size that was
    never trained on runs the plain way.

    Args:
        make: Compiles a step.
    """

    affine = staticmethod(quick)

    def __init__(self, make: Make = CompiledStep):
        self._make = make
        self._steps: dict[Any, CompiledStep] = {}

    def __call__(self, step: Step, weights: Tensors, preactivations: Tensors, state: Any) -> tuple[Tensor, Any]:
        """See the module's docstring."""
        leaves, structure = pytree.tree_flatten(state)
        # What is compiled is for contiguous tensors; a bias for all steps, for example, is not.
        tensors = [tensor.contiguous() for tensor in (*weights, *preactivations, *leaves)]
        batch = preactivations[0].shape[1]
        lanes = _lanes(batch, preactivations[0].device)
        lane, threads = slice(batch // lanes), torch.get_num_threads() if lanes == 1 else 1
        now, leaves = tuple(whole[0, lane] for whole in preactivations), [leaf[lane] for leaf in leaves]
        kinds = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in (*weights, *now, *leaves))
        found = self._steps.get((step, structure, kinds, threads))
        if torch.is_grad_enabled():
            if found is None:
                found = self._steps[step, structure, kinds, threads] = self._make(
                    step, weights, now, pytree.tree_unflatten(leaves, structure), threads
                )
            features, *leaves = _ThroughTime.apply(found, *tensors)
        elif found is None:
            return plain(step, weights, preactivations, state)
        else:
            run = _run(found, tensors, len(preactivations[0]), keep=False)
            features, leaves = run.features, list(run.state)
        return features, pytree.tree_unflatten(leaves, structure)


def fast() -> Unrolling:
    """Return `Compiled`, or `plain` with a warning where there is no C++ compiler to compile with."""
    if not has_compiler():
        warnings.warn(
            "no C++ compiler was found: training runs uncompiled, at a third of the speed; install g++ or clang++",
            stacklevel=2,
        )
        return plain
    return Compiled()
