"""Whether two ways of computing the same have the same values and gradients, up to rounding."""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Returns some outputs of some inputs."""

TOLERANCE: Final = 1e-3
"""Largest relative difference that is taken for rounding."""
ILL_CONDITIONED: Final = 10
"""A difference is taken for rounding as well if it is at most this many times that of the plain way from float64."""
NEGLIGIBLE: Final = 1e-3
"""What is smaller than this part of the largest number of all tensors counts as if it were as large."""


class MismatchError(Exception):
    """Compiled code does not compute what it was compiled from."""


def require_equal(tried: Run, plain: Run, inputs: Sequence[Tensor]) -> None:
    """Raise an error unless both ways have the same values, and the same gradients of a sum of all outputs.

    Rounding may decide which of two equal slots is taken, and then results differ by much though both are right. So a
    difference is no error where float64 differs from the plain way as well.

    >>> require_equal(lambda x: [x[0] * 2], lambda x: [x[0] + x[0]], [torch.ones(3)])

    Raises:
        MismatchError: They differ.
    """
    found, expected = _differentiated(tried, inputs), _differentiated(plain, inputs)
    error = _difference(found, expected)
    if error <= TOLERANCE:
        return
    try:
        exact = _differentiated(plain, [one.double() if one.is_floating_point() else one for one in inputs])
    except (RuntimeError, TypeError):
        exact = expected  # not written for float64
    if not error <= ILL_CONDITIONED * _difference(expected, exact):
        raise MismatchError(f"compiled code differs from the plain way by {error:.2g} of the largest number")


def _differentiated(run: Run, inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs, and the gradients of the inputs."""
    inputs = [one.detach().clone().requires_grad_(one.is_floating_point()) for one in inputs]
    with torch.enable_grad():
        outputs = run(inputs)
        # Each number by a factor of its own, so that no two errors cancel.
        known = [(one * _factors(one)).sum() for one in outputs if one.requires_grad]
        wanted = [one for one in inputs if one.requires_grad]
        gradients = torch.autograd.grad(known, wanted, materialize_grads=True) if known else ()
    return [one.detach() for one in outputs], list(gradients)


def _factors(like: Tensor) -> Tensor:
    return torch.arange(1, 1 + like.numel(), dtype=like.dtype, device=like.device).cos().view_as(like)


def _difference(found: tuple[list[Tensor], list[Tensor]], expected: tuple[list[Tensor], list[Tensor]]) -> float:
    """Return the largest difference of values and of gradients, as a part of the largest number of a tensor."""
    return max(
        (
            _relative(one, other, NEGLIGIBLE * _largest(those))
            for these, those in zip(found, expected, strict=True)
            for one, other in zip(these, those, strict=True)
        ),
        default=0.0,
    )


def _largest(tensors: Sequence[Tensor]) -> float:
    """Return the largest finite magnitude of all."""
    return max((float(one.double().abs().nan_to_num(0, 0, 0).max()) for one in tensors if one.numel()), default=0.0)


def _relative(one: Tensor, other: Tensor, least: float) -> float:
    """Return the largest difference of two tensors by the largest number of the second, which counts as at least one.

    Infinite where whole numbers differ, or one is not a number where the other is.
    """
    if one.shape != other.shape:
        return float("inf")
    if not other.is_floating_point():
        return 0.0 if torch.equal(one, other) else float("inf")
    one, other = one.double(), other.double()
    different = ~((one == other) | (one.isnan() & other.isnan()))  # not infinity less infinity
    if not different.any():
        return 0.0
    scale = max(_largest([other]), least)
    return float(((one - other)[different].abs().nan_to_num(float("inf")) / scale).max()) if scale else float("inf")
