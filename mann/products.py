"""Products of many inputs with a weight, which most of a network's time goes into.

    affine      addend + inputs weight^T, as torch does it
    quick       the same through oneDNN, where that is faster
    gathered    what a weight's gradient is: gradients^T inputs

Torch multiplies float32 matrices with MKL, which does not use all that processors of other makers than its own can do;
oneDNN, which torch brings along too, does. On such a processor with AVX-512 large products take half the time.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Affine = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(addend, inputs, weight) -> addend + inputs weight^T."""

LARGE = 1_500_000
"""Multiplications from which on a product is large enough for oneDNN, whose calls cost more."""

_HAS_ONEDNN = torch.backends.mkldnn.is_available()


def affine(addend: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return addend + inputs weight^T.

    addend: [rows, width] or [width]; inputs: [rows, size]; weight: [width, size]. Returns [rows, width].
    """
    return torch.addmm(addend, inputs, weight.T)


def quick(addend: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return what `affine` does, up to rounding; of a large product with first derivatives only."""
    if not _suits_onednn(inputs, weight):
        return affine(addend, inputs, weight)
    if addend.dim() == 1:
        return _Product.apply(inputs, weight, addend)
    return addend + _Product.apply(inputs, weight, None)


def product(inputs: Tensor, weight: Tensor) -> Tensor:
    """Return inputs weight^T, without a derivative."""
    return _operator(inputs, weight, None) if _suits_onednn(inputs, weight) else inputs @ weight.T


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


# An operator of our own: the compiler would take oneDNN's for that of a network whose weights do not change.
_OPERATORS = torch.library.Library("mann", "DEF")
_OPERATORS.define("product(Tensor inputs, Tensor weight, Tensor? bias) -> Tensor")


@torch.library.impl(_OPERATORS, "product", "CPU")
def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


@torch.library.register_fake("mann::product")
def _(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return inputs.new_empty(len(inputs), len(weight))


_operator = torch.ops.mann.product.default


class _Product(Function):
    """inputs weight^T + bias, of what suits oneDNN."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _operator(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,), (inputs, weight) = gradients, ctx.saved_tensors
        return (
            product(gradient, weight.T) if ctx.needs_input_grad[0] else None,
            gathered(gradient, inputs) if ctx.needs_input_grad[1] else None,
            gradient.sum(0) if ctx.needs_input_grad[2] else None,
        )
