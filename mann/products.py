"""Products of many inputs with a weight.

    affine      addend + inputs weight^T, as torch does it
    quick       bias + inputs weight^T for all steps at once, through oneDNN where that is faster
    gathered    what a weight's gradient is: gradients^T inputs

Torch multiplies float32 matrices with MKL, which does not use all that processors of other makers than its own can do;
oneDNN, which torch brings along too, does. What is multiplied step by step is compiled (`mann.lowering`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Affine = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(bias, inputs, weight) -> bias + inputs weight^T."""

LARGE = 1_500_000
"""Multiplications from which on a product is large enough for oneDNN, whose calls cost more."""

_HAS_ONEDNN = torch.backends.mkldnn.is_available()


def affine(addend: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return addend + inputs weight^T.

    addend: [rows, width] or [width]; inputs: [rows, size]; weight: [width, size]. Returns [rows, width].
    """
    return torch.addmm(addend, inputs, weight.T)


def quick(bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return what `affine` does for a bias [width], up to rounding; of a large product with first derivatives only."""
    if not _suits_onednn(inputs, weight):
        return affine(bias, inputs, weight)
    return _Product.apply(bias, inputs, weight)


def gathered(gradients: Tensor, inputs: Tensor) -> Tensor:
    """Return gradients^T inputs, a weight's gradient [width, size], without a derivative.

    gradients: [rows, width], of the products; inputs: [rows, size].
    """
    # Not oneDNN, which wants a copy of one of them, transposed, and returns what has to be transposed once more.
    return gradients.T @ inputs


def _suits_onednn(inputs: Tensor, weight: Tensor) -> bool:
    """Return whether oneDNN takes the numbers and is worth its call."""
    fits = _HAS_ONEDNN and inputs.device.type == "cpu" and inputs.dtype == weight.dtype == torch.float32
    return fits and inputs.numel() * len(weight) >= LARGE


def _onednn(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return inputs weight^T + bias."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


class _Product(Function):
    """bias + inputs weight^T, of what suits oneDNN."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _onednn(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,), (inputs, weight) = gradients, ctx.saved_tensors
        return (
            gradient.sum(0) if ctx.needs_input_grad[0] else None,
            _onednn(gradient, weight.T) if ctx.needs_input_grad[1] else None,
            gathered(gradient, inputs) if ctx.needs_input_grad[2] else None,
        )
