"""Products of many inputs with a weight.

    affine      addend + inputs weight^T, as torch does it
    quick       bias + inputs weight^T for all steps at once, by loops of the project's own where they are quicker
    gathered    what a weight's gradient is: gradients^T inputs, likewise
    turned      a weight transposed in memory, for what reads it by rows

The loops (products.cpp) read inputs as they lie, where libraries copy them first. What is multiplied step by step is
compiled (`mann.fast.lowering`).
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from episodes.native import library

Affine = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(bias, inputs, weight) -> bias + inputs weight^T."""

LARGE = 1_500_000
"""Multiplications from which on a product is large enough for the loops."""
WORTH_TURNING = 2**16
"""Numbers from which on a weight is large enough for them."""


def affine(addend: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return addend + inputs weight^T.

    addend: [rows, width] or [width]; inputs: [rows, size]; weight: [width, size]. Returns [rows, width].
    """
    return torch.addmm(addend, inputs, weight.T)


def quick(bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return what `affine` does for a bias [width], up to rounding; of a large product with first derivatives only."""
    if torch.is_autocast_enabled(inputs.device.type) or not _suit_loops(inputs, weight, len(weight)):
        return affine(bias, inputs, weight)
    return _Product.apply(bias.contiguous(), inputs.contiguous(), weight.contiguous())


def gathered(gradients: Tensor, inputs: Tensor) -> Tensor:
    """Return gradients^T inputs, a weight's gradient [width, size], without a derivative.

    gradients: [rows, width], of the products; inputs: [rows, size]. Both are contiguous.
    """
    rows, size, width = *inputs.shape, gradients.shape[1]
    if not _suit_loops(inputs, gradients, width):
        return gradients.T @ inputs
    threads = torch.get_num_threads()
    out, others = inputs.new_empty(width, size), inputs.new_empty(threads - 1, width, size)
    _loops().gathered(*map(_place, (gradients, inputs, out, others)), rows, size, width, threads)
    return out


def turned(weight: Tensor) -> Tensor:
    """Return a contiguous weight [width, size] so that it lies transposed: what multiplies with it reads it by rows."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or weight.numel() < WORTH_TURNING:
        return weight.T.contiguous().T
    out = weight.new_empty(weight.shape[::-1])
    _loops().turn(_place(weight), _place(out), *weight.shape, torch.get_num_threads())
    return out.T


def _suit_loops(inputs: Tensor, other: Tensor, width: int) -> bool:
    """Return whether the loops take the numbers and are worth their threads."""
    fits = inputs.device.type == "cpu" and inputs.dtype == other.dtype == torch.float32
    return fits and inputs.numel() * width >= LARGE


@cache
def _loops() -> ctypes.CDLL:
    """Return what products.cpp is compiled to."""
    here = Path(__file__).parent
    found, places, sizes = library(here / "loops.h", here / "products.cpp"), [ctypes.c_void_p] * 4, [ctypes.c_int64] * 4
    for function in (found.affine, found.gathered):
        function.restype, function.argtypes = None, places + sizes
    found.turn.restype, found.turn.argtypes = None, places[:2] + sizes[:3]
    return found


def _place(tensor: Tensor | None) -> int | None:
    """Return where a tensor's numbers are."""
    return None if tensor is None else tensor.data_ptr()


def _product(bias: Tensor | None, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return inputs weight + bias; weight: [size, width]."""
    (rows, size), width = inputs.shape, weight.shape[1]
    out = inputs.new_empty(rows, width)
    _loops().affine(*map(_place, (bias, inputs, weight, out)), rows, size, width, torch.get_num_threads())
    return out


class _Product(Function):
    """bias + inputs weight^T, of what suits the loops."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _product(bias, inputs, turned(weight).T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,), (inputs, weight) = gradients, ctx.saved_tensors
        gradient = gradient.contiguous()
        return (
            gradient.sum(0) if ctx.needs_input_grad[0] else None,
            _product(None, gradient, weight) if ctx.needs_input_grad[1] else None,
            gathered(gradient, inputs) if ctx.needs_input_grad[2] else None,
        )
