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
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.utils import _pytree as pytree

from mann.compiling import CompiledStep, Make, Step, Tensors
from mann.products import Affine, affine, gathered, quick


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
        features: At each step.
        inputs: At each step, what each weight was multiplied with.
        kept: What each step needs on the way back, one step after the other.
        state: The last one.
    """

    features: list[Tensor]
    inputs: list[Tensors]
    kept: list[Tensor]
    state: Tensors


def _run(step: CompiledStep, tensors: Sequence[Tensor], keep: bool) -> _Run:
    """Run from the weights, the preactivations [time, ...] and the leaves of the state."""
    weights, preactivations, state = step.parted(tensors)
    features, inputs, kept = [], [], []
    for now in _step_by_step(preactivations):
        feature, used, state, needed = step.forward(weights, now, state)
        features.append(feature)
        if keep:
            inputs.append(used)
            kept.extend(needed)
    return _Run(features, inputs, kept, state)


class _ThroughTime(Function):
    """A compiled step, again and again, and back.

    A weight's gradient is taken once for all steps: that of z_t = p_t + W h_t with respect to W is sum_t dz_t h_t^T,
    and dz_t is the gradient of p_t.
    """

    @staticmethod
    def forward(ctx: Any, step: CompiledStep, *tensors: Tensor) -> tuple[Tensor, ...]:
        run = _run(step, tensors, keep=True)
        # By autograd, which frees all after the way back; the last state may be among what the last step keeps.
        ctx.save_for_backward(*(torch.stack(part) for part in zip(*run.inputs, strict=True)), *run.kept)
        ctx.step, ctx.steps = step, len(run.features)
        ctx.mark_non_differentiable(*step.without_gradient(run.state))
        return torch.stack(run.features), *run.state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        features, *leaves = (gradient.contiguous() for gradient in gradients)
        step: CompiledStep = ctx.step
        inputs, kept = ctx.saved_tensors[: step.weights], ctx.saved_tensors[step.weights :]
        count = len(kept) // ctx.steps
        shown, state = [], tuple(leaves)
        for time, feature in reversed(list(enumerate(features.unbind(0)))):
            now, state = step.backward(kept[time * count : (time + 1) * count], feature, state)
            shown.append(now)
        preactivations = [torch.stack(part[::-1]) for part in zip(*shown, strict=True)]
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
            run = _run(found, tensors, keep=False)
            features, leaves = torch.stack(run.features), list(run.state)
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
