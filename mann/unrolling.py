"""Running a step function through time: the plain way, and the fast way.

Both take and return the same, so that a network holds one of them and a test holds them equal:

    (step, weights, preactivations, state) -> (features, state)

and both say with `affine` how to multiply (`mann.products`).

weights: the weights that are used again at every step; preactivations: as many, each [time, batch, width], what is
added to the product of that weight and does not depend on the step before; step(weights, preactivations at t, state)
returns the features [batch, ...], what each weight was multiplied with, and the new state.
"""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import isqrt
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.utils import _pytree as pytree

from mann.compiling import CompiledStep, Make, Step, Tensors
from mann.products import Affine, affine, gathered, quick

WORTH_MAKING_AGAIN = 2**26
"""Bytes of memories at all steps from which on most are made again on the way back: below, time counts more."""


class Unrolling(Protocol):
    """A way through time; see the module's docstring."""

    @property
    def affine(self) -> Affine:
        """How a step multiplies."""
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


class _Run(NamedTuple):
    """A compiled step, again and again.

    Attributes:
        features: [time, ...].
        inputs: What each weight was multiplied with, each [time, ...].
        kept: What each step needs on the way back.
        chain: The chain at every so many steps, and at the end.
        state: The last one.
    """

    features: Tensor
    inputs: list[Tensor]
    kept: list[Tensors]
    chain: list[Tensors]
    state: Tensors


def _run(step: CompiledStep, tensors: Sequence[Tensor], every: int) -> _Run:
    """Run from the weights, the preactivations [time, ...] and the leaves of the state.

    every: At how many steps from each other the chain is kept; with 0 nothing is.
    """
    weights, preactivations, state = step.parted(tensors)
    steps = len(preactivations[0])
    features, inputs, kept, links = [], [], [], []
    for time, now in enumerate(_step_by_step(preactivations)):
        if every and time % every == 0:
            links.append(step.chained(state))
        feature, used, state, needed = step.forward(weights, now, state)
        features = _noted(features, (feature,), time, steps)
        if every:
            inputs = _noted(inputs, used, time, steps)
            kept.append(needed)
    return _Run(features[0], inputs, kept, [*links, step.chained(state)], state)


def _noted(wholes: list[Tensor], parts: Tensors, time: int, steps: int) -> list[Tensor]:
    """Put parts into tensors of all steps, which are there from the first part on.

    To stack them at the end would hold all of them twice.
    """
    wholes = wholes or [part.new_empty(steps, *part.shape) for part in parts]
    for whole, part in zip(wholes, parts, strict=True):
        whole[time] = part
    return wholes


def _in_parts(tensors: Tensors, count: int) -> list[Tensors]:
    """Cut into as many equal parts."""
    size = len(tensors) // count
    return [tensors[number * size : (number + 1) * size] for number in range(count)]


def _backwards(
    step: CompiledStep, kept: Sequence[Tensors], known: Sequence[Tensors], every: int
) -> Iterator[tuple[int, Tensors, Tensors]]:
    """Return the time of each step, from the last to the first, and the chain before it and after it.

    kept: What each step needs; known: the chain at every so many steps, and at the end.
    """
    for number, (first, last) in reversed(list(enumerate(pairwise(known)))):
        needed = kept[number * every : (number + 1) * every]
        made = accumulate(needed[:-1], lambda before, now: step.again(now, before), initial=first)
        links = pairwise([*made, last])
        for time, (before, after) in reversed(list(enumerate(links, number * every))):
            yield time, before, after


class _ThroughTime(Function):
    """A compiled step, again and again, and back.

    A weight's gradient is taken once for all steps: that of z_t = p_t + W h_t with respect to W is sum_t dz_t h_t^T,
    and dz_t is the gradient of p_t.
    """

    @staticmethod
    def forward(ctx: Any, step: CompiledStep, *tensors: Tensor) -> tuple[Tensor, ...]:
        _, preactivations, state = step.parted(tensors)
        steps = len(preactivations[0])
        size = steps * sum(leaf.nbytes for leaf in step.chained(state))
        every = 1 if size < WORTH_MAKING_AGAIN else isqrt(steps)
        run = _run(step, tensors, every)
        # By autograd, which frees all after the way back; the last state may be among what the last step keeps.
        ctx.save_for_backward(*run.inputs, *(tensor for part in (*run.kept, *run.chain) for tensor in part))
        ctx.step, ctx.every, ctx.counts = step, every, (steps, len(run.chain))
        ctx.mark_non_differentiable(*step.without_gradient(run.state))
        return run.features, *run.state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        features, *leaves = (gradient.contiguous() for gradient in gradients)
        step: CompiledStep = ctx.step
        steps, links = ctx.counts
        inputs, saved = ctx.saved_tensors[: step.weights], ctx.saved_tensors[step.weights :]
        held = len(saved) - links * len(step.chain)
        kept, known = _in_parts(saved[:held], steps), _in_parts(saved[held:], links)
        preactivations, state = [], tuple(leaves)
        for time, before, after in _backwards(step, kept, known, ctx.every):
            shown, state = step.backward(kept[time], before, after, features[time], state)
            preactivations = _noted(preactivations, shown, time, steps)
        weights = [
            gathered(gradient.flatten(0, 1), used.flatten(0, 1)) if asked else None
            for gradient, used, asked in zip(preactivations, inputs, ctx.needs_input_grad[1:], strict=False)
        ]
        return None, *weights, *preactivations, *state


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
        now = tuple(part[0] for part in preactivations)
        kinds = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in (*weights, *now, *leaves))
        found = self._steps.get((step, structure, kinds))
        if torch.is_grad_enabled():
            if found is None:
                found = self._steps[step, structure, kinds] = self._make(step, weights, now, state)
            features, *leaves = _ThroughTime.apply(found, *tensors)
        elif found is None:
            return plain(step, weights, preactivations, state)
        else:
            run = _run(found, tensors, every=0)
            features, leaves = run.features, list(run.state)
        return features, pytree.tree_unflatten(leaves, structure)


def fast() -> Unrolling:
    """Return `Compiled`, or `plain` with a warning where there is no C++ compiler to compile with."""
    # Where nvcc is installed without a GPU, torch would warn that the two do not fit: of no use to the reader.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        warnings.warn(
            "no C++ compiler was found: training runs uncompiled, at about half the speed; install g++ or clang++",
            stacklevel=2,
        )
        return plain
    return Compiled()
