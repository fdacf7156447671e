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
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mann.products import Affine, affine, product, quick

Tensors = tuple[Tensor, ...]
Step = Callable[[Tensors, Tensors, Any], tuple[Tensor, Tensors, Any]]

COMPILED_PIECES = 256
"""Different pieces that one process may compile: two for each network and each size of its batches.

Torch counts them over all networks, since all run the same function, and refuses to go on after 8 of them if not told.
"""


def _through_time(step: Step, weights: Tensors, preactivations: Tensors, state: Any) -> tuple[Tensor, Tensors, Any]:
    """Return features [time, batch, ...], the inputs of each weight [time, batch, ...] and the last state."""
    features, inputs = [], []
    for now in zip(*(part.unbind(0) for part in preactivations), strict=True):
        feature, used, state = step(weights, now, state)
        features.append(feature)
        inputs.append(used)
    return torch.stack(features), tuple(torch.stack(part) for part in zip(*inputs, strict=True)), state


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
        features, _, state = _through_time(step, weights, preactivations, state)
        return features, state


plain = Plain()


class _WeightGradientAfterwards(Function):
    """The identity on preactivations, which takes a weight's gradient once for all steps.

    The steps use the weight without recording it, so that its gradient is not added up step by step:
    the gradient of z_t = p_t + W h_t with respect to W is sum_t dz_t h_t^T, and dz_t is the gradient
    of p_t, which arrives here for all t at once.
    """

    @staticmethod
    def forward(ctx: Any, preactivations: Tensor, weight: Tensor, inputs: list[Tensor]) -> Tensor:
        ctx.inputs = inputs
        return preactivations.view_as(preactivations)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = gradients
        (inputs,) = ctx.inputs
        return gradient, product(gradient.flatten(0, 1).T, inputs.flatten(0, 1).T), None


class Compiled:
    """The fast way: several steps in each compiled piece, weight gradients in one product after the loop.

    Equal to `plain` up to rounding, in values and in first derivatives (second derivatives are refused).
    Steps that do not fill a piece run uncompiled, and so does everything while no gradients are recorded.

    Attributes:
        piece: Steps in a compiled piece. More of them run a little faster and take longer to compile.
    """

    affine = staticmethod(quick)

    def __init__(self, piece: int = 5):
        self.piece = piece
        self._run = torch.compile(_through_time, fullgraph=True, dynamic=False)
        # Made once: each patch leaves a context variable behind, which nothing frees.
        self._limit = torch._dynamo.config.patch(recompile_limit=COMPILED_PIECES)

    def __call__(self, step: Step, weights: Tensors, preactivations: Tensors, state: Any) -> tuple[Tensor, Any]:
        """See the module's docstring."""
        if not torch.is_grad_enabled():
            return plain(step, weights, preactivations, state)
        used: list[list[Tensor]] = [[] for _ in weights]
        preactivations = tuple(map(_WeightGradientAfterwards.apply, preactivations, weights, used))
        weights = tuple(weight.detach() for weight in weights)
        features, inputs = [], []
        # Split, not sliced: the gradient of a slice is as large as the whole.
        pieces = zip(*(part.split(self.piece) for part in preactivations), strict=True)
        with self._limit:
            for piece in pieces:
                run = self._run if len(piece[0]) == self.piece else _through_time
                feature, piece_inputs, state = run(step, weights, piece, state)
                features.append(feature)
                inputs.append(piece_inputs)
        for record, parts in zip(used, zip(*inputs, strict=True), strict=True):
            record.append(torch.cat(parts).detach())
        return torch.cat(features), state


def fast(piece: int = 5) -> Unrolling:
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
    return Compiled(piece)
