"""Products of all steps with a weight: their numbers, and whether the loops or torch compute them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann.fast import products
from mann.fast.products import affine_all_steps, transposed_storage, weight_gradient
from mann.models.unrolling import Affine, affine

pytestmark = pytest.mark.usefixtures("cxx_compiler")


def numbers(*size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the same random numbers for the same size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=torch.float64).to(dtype)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int, int]]:
    """The calls of the loops: the function, and how many rows, inputs and outputs."""
    seen: list[tuple[str, int, int, int]] = []
    known = products.native_loops()

    def watched(name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            seen.append((name, *arguments[4:7]))
            getattr(known, name)(*arguments)

        return call

    loops = SimpleNamespace(affine=watched("affine"), weight_gradient=watched("weight_gradient"))
    monkeypatch.setattr(products, "native_loops", lambda: loops)
    monkeypatch.setattr(products, "LOOPS_FROM", 1)
    return seen


@pytest.mark.parametrize("multiply", [affine, affine_all_steps])
@pytest.mark.parametrize("loops_from", [1, 10**9])
@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 5), size=st.integers(1, 5), width=st.integers(1, 5), dtype=st.sampled_from(["32", "64"]))
def test_values_and_gradients_equal_an_oracle(
    multiply: Affine, loops_from: int, rows: int, size: int, width: int, dtype: str
) -> None:
    kind = getattr(torch, f"float{dtype}")
    inputs, weight, downstream = numbers(rows, size), numbers(width, size) + 1, numbers(rows, width) - 1
    addend, bias = numbers(rows, width) + 2, numbers(width)
    tolerance = 1e-5 if dtype == "32" else 1e-12
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "LOOPS_FROM", loops_from)
        for added in (bias,) if multiply is affine_all_steps else (addend, bias):
            leaves = [part.to(kind).clone().requires_grad_() for part in (added, inputs, weight)]
            result = multiply(*leaves)
            result.backward(downstream.to(kind))
            expected = added.numpy() + inputs.numpy() @ weight.numpy().T
            numpy.testing.assert_allclose(result.detach().double().numpy(), expected, rtol=tolerance, atol=tolerance)
            gradients = [leaf.grad.double().numpy() for leaf in leaves if leaf.grad is not None]
            above = downstream.numpy()
            for found, wanted in zip(
                gradients,
                (above if added.ndim == 2 else above.sum(0), above @ weight.numpy(), above.T @ inputs.numpy()),
                strict=True,
            ):
                numpy.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def test_large_products_of_float32_are_computed_by_the_loops(
    calls: list[tuple[str, int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LOOPS_FROM", 4 * 5 * 6)
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((6,), (4, 5), (6, 5)))
    for arguments in (
        (bias, inputs, weight),
        (bias, inputs[1:], weight),
        (bias.double(), inputs.double(), weight.double()),
    ):
        affine_all_steps(*arguments)
        weight_gradient(numbers(len(arguments[1]), 6).to(arguments[1]), arguments[1])
    assert calls == [("affine", 4, 5, 6), ("weight_gradient", 4, 5, 6)]


def test_products_under_autocast_are_computed_by_torch(calls: list[tuple[str, int, int, int]]) -> None:
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((6,), (4, 5), (6, 5)))
    with torch.autocast("cpu", torch.bfloat16):
        assert affine_all_steps(bias, inputs, weight).dtype == torch.bfloat16
    assert not calls


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    ("rows", "size", "width"),
    [(1, 1, 1), (2, 3, 17), (9, 100, 49), (521, 33, 7), (600, 48, 8), (17, 5, 164), (300, 405, 20)],
)
def test_products_of_all_sizes_equal_an_oracle(
    rows: int, size: int, width: int, threads: int, calls: list[tuple[str, int, int, int]]
) -> None:
    """Parts of a vector and of a block of rows, more threads than rows, and more rows than are summed at a time."""
    torch.set_num_threads(threads)
    bias, inputs, weight = numbers(width), numbers(rows, size), numbers(width, size)
    above = numbers(rows, width) + 1
    leaves = [part.float().requires_grad_() for part in (bias, inputs, weight)]
    found = affine_all_steps(*leaves)
    found.backward(above.float())
    wanted = [above.sum(0), above @ weight, above.T @ inputs]
    for one, expected in zip(
        [found, *(leaf.grad for leaf in leaves)], [bias + inputs @ weight.T, *wanted], strict=True
    ):
        assert one is not None
        numpy.testing.assert_allclose(one.detach().double().numpy(), expected.numpy(), rtol=1e-5, atol=1e-4)
    sizes = ("affine", rows, size, width), ("affine", rows, width, size), ("weight_gradient", rows, size, width)
    assert calls == [*sizes]


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 5), size=st.integers(1, 5), width=st.integers(1, 5))
def test_a_weights_gradient_is_the_sum_of_outer_products(rows: int, size: int, width: int) -> None:
    gradients, inputs = numbers(rows, width), numbers(rows, size) + 1
    expected = sum(numpy.outer(one, other) for one, other in zip(gradients.numpy(), inputs.numpy(), strict=True))
    numpy.testing.assert_allclose(weight_gradient(gradients, inputs).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [2, 4])
def test_a_weights_gradient_is_contiguous(size: int) -> None:
    assert weight_gradient(numbers(9, 3), numbers(9, size)).is_contiguous()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (7, 40), (33, 3), (800, 405)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transposed_storage_keeps_the_numbers(
    size: tuple[int, int], threads: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(threads)
    weight = numbers(*size, dtype=dtype)
    for transpose_from in (1, 10**9):  # by the loops, and by torch
        monkeypatch.setattr(products, "TRANSPOSE_FROM", transpose_from)
        found = transposed_storage(weight)
        assert torch.equal(found, weight) and found.T.is_contiguous()


def test_matrices_may_be_stored_by_rows_or_by_columns(calls: list[tuple[str, int, int, int]]) -> None:
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((1,), (7, 5), (3, 5)))
    bias = bias.expand(3)
    stored = [part.T.contiguous().T.requires_grad_() for part in (inputs, weight)]
    found = affine_all_steps(bias, *stored)
    torch.testing.assert_close(found, inputs @ weight.T + bias)
    found.sum().backward()  # whose gradient is one number, expanded
    torch.testing.assert_close(stored[1].grad, inputs.sum(0).expand(3, 5))
    assert len(calls) == 3


def test_gradients_that_are_not_needed_are_not_computed(calls: list[tuple[str, int, int, int]]) -> None:
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((3,), (4, 2), (3, 2)))
    weight.requires_grad_()
    affine_all_steps(bias, inputs, weight).sum().backward()
    once = [("affine", 4, 2, 3), ("weight_gradient", 4, 2, 3)]
    assert calls == once
    affine_all_steps(bias, inputs.requires_grad_(), weight).sum().backward()
    assert calls == [*once, ("affine", 4, 2, 3), ("affine", 4, 3, 2), ("weight_gradient", 4, 2, 3)]


def test_second_derivatives_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LOOPS_FROM", 1)
    inputs = numbers(2, 3, dtype=torch.float32).requires_grad_()
    result = (
        affine_all_steps(numbers(4, dtype=torch.float32), inputs, numbers(4, 3, dtype=torch.float32)).square().sum()
    )
    (gradient,) = torch.autograd.grad(result, inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
