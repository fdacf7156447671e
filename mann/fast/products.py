"""Products of all steps at once with a weight, by loops of this package (products.cpp) where these are faster.

    affine_all_steps     bias + inputs weight^T, before the steps are run
    weight_gradient      gradients^T inputs, after the backward pass
    transposed_storage   a weight stored transposed, for products that read it row by row

The loops read their inputs as they are stored, where libraries copy them to another layout first. Products of a single
step are compiled with the step (`mann.fast.lowering`).
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from episodes.native import library
from mann.models.unrolling import affine

SOURCES = (Path(__file__).with_name("loops.h"), Path(__file__).with_name("products.cpp"))

LOOPS_FROM = 1_500_000
"""Multiplications from which on a product is large enough for the loops."""
TRANSPOSE_FROM = 2**16
"""Numbers from which on a weight is large enough to be transposed by them."""


def affine_all_steps(bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return bias + inputs weight^T, equal to `affine` up to rounding.

    A large product has first derivatives only: a second one raises an error.

    Args:
        bias: [width].
        inputs: [rows, size], where the rows are of all steps and sequences.
        weight: [width, size].

    Returns:
        [rows, width].
    """
    # Under autocast the result would have to be of fewer digits, as torch's is.
    if torch.is_autocast_enabled(inputs.device.type) or not _suits_loops(inputs, weight, len(weight)):
        return affine(bias, inputs, weight)
    return _Affine.apply(bias.contiguous(), inputs.contiguous(), weight.contiguous())


def weight_gradient(gradients: Tensor, inputs: Tensor) -> Tensor:
    """Return gradients^T inputs, the gradient of a weight, itself not differentiable.

    Args:
        gradients: Those of the products, [rows, width], contiguous.
        inputs: [rows, size], contiguous.

    Returns:
        [width, size].
    """
    rows, size, width = *inputs.shape, gradients.shape[1]
    if not _suits_loops(inputs, gradients, width):
        return gradients.T @ inputs
    threads = torch.get_num_threads()
    # Each thread but the first, which sums in `out`, sums into a matrix of its own.
    out, partial_sums = inputs.new_empty(width, size), inputs.new_empty(threads - 1, width, size)
    native_loops().weight_gradient(*map(_address, (gradients, inputs, out, partial_sums)), rows, size, width, threads)
    return out


def transposed_storage(weight: Tensor) -> Tensor:
    """Return a contiguous weight [width, size] with the same numbers, but stored transposed.

    A product of a step multiplies a number of the input with a column of the weight; stored so, a column is contiguous.
    """
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or weight.numel() < TRANSPOSE_FROM:
        return weight.T.contiguous().T
    out = weight.new_empty(weight.shape[::-1])
    native_loops().transpose(_address(weight), _address(out), *weight.shape, torch.get_num_threads())
    return out.T


def _suits_loops(inputs: Tensor, other: Tensor, width: int) -> bool:
    """Return whether the loops take these numbers, and the product is large enough for them."""
    # Below, waking threads takes longer than the product.
    fits = inputs.device.type == "cpu" and inputs.dtype == other.dtype == torch.float32
    return fits and inputs.numel() * width >= LOOPS_FROM


@cache
def native_loops() -> ctypes.CDLL:
    """Return the compiled products.cpp; its functions take addresses of tensors, then sizes, then the threads."""
    loaded = library(*SOURCES)
    addresses, sizes = [ctypes.c_void_p] * 4, [ctypes.c_int64] * 4
    for function in (loaded.affine, loaded.weight_gradient):
        function.restype, function.argtypes = None, addresses + sizes
    loaded.transpose.restype, loaded.transpose.argtypes = None, addresses[:2] + sizes[:3]
    return loaded


def _address(tensor: Tensor | None) -> int | None:
    """Return the address of a tensor's numbers; None becomes a null pointer."""
    return None if tensor is None else tensor.data_ptr()


def _product(bias: Tensor | None, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return inputs weight + bias; weight: [size, width]."""
    (rows, size), width = inputs.shape, weight.shape[1]
    out = inputs.new_empty(rows, width)
    native_loops().affine(*map(_address, (bias, inputs, weight, out)), rows, size, width, torch.get_num_threads())
    return out


class _Affine(Function):
    """bias + inputs weight^T, by the loops."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return _product(bias, inputs, transposed_storage(weight).T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,), (inputs, weight) = gradients, ctx.saved_tensors
        gradient = gradient.contiguous()  # that of a sum is one number, expanded
        # `weight` is contiguous and stands on the right as it is: the product with it needs no transposing.
        return (
            gradient.sum(0) if ctx.needs_input_grad[0] else None,
            _product(None, gradient, weight) if ctx.needs_input_grad[1] else None,
            weight_gradient(gradient, inputs) if ctx.needs_input_grad[2] else None,
        )
