"""Means shared by the tests of regression: a slow kernel, random tasks, and a test of means."""

import math

import numpy
import pytest
import torch
from hypothesis import strategies as st

from episodes import Regression

Array = numpy.ndarray

every_dimension = pytest.mark.parametrize("dimensions", [1, 2, 3])


def slow_kernel(left: Array, right: Array, length_scale: float) -> Array:
    """Return k(x, x') of two lists of points, number by number."""
    return numpy.array(
        [
            [math.exp(-sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / 2 / length_scale**2) for y in right]
            for x in left
        ]
    ).reshape(len(left), len(right))


def about(values: torch.Tensor, expected: float) -> None:
    """Check the mean of independent values: no more than four standard errors from what is expected."""
    values = values.double()
    assert abs(values.mean().item() - expected) < 4 * values.std().item() / len(values) ** 0.5


tasks = st.builds(
    Regression,
    dimensions=st.integers(1, 3),
    points=st.integers(1, 12),
    length_scale=st.floats(0.05, 5),
    noise=st.floats(0.05, 2),
)
seeds = st.integers(0, 10**20)
