"""Products with a weight: what they are, and which way they go."""

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
from mann.fast.products import affine, gathered, quick, turned

pytestmark = pytest.mark.usefixtures("cxx_compiler")


def numbers(*size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the same random numbers for the same size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=torch.float64).to(dtype)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int, int]]:
    """The products that the loops did: which, and how many rows, inputs and outputs."""
    seen: list[tuple[str, int, int, int]] = []
    known = products._loops()

    def watched(name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            seen.append((name, *arguments[4:7]))
            getattr(known, name)(*arguments)

        return call

    loops = SimpleNamespace(affine=watched("affine"), gathered=watched("gathered"))
    monkeypatch.setattr(products, "_loops", lambda: loops)
    monkeypatch.setattr(products, "LARGE", 1)
    return seen


@pytest.mark.parametrize("way", [affine, quick])
@pytest.mark.parametrize("large", [1, 10**9])
@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 5), size=st.integers(1, 5), width=st.integers(1, 5), dtype=st.sampled_from(["32", "64"]))
def test_both_ways_equal_an_oracle_in_values_and_gradients(
    way: products.Affine, large: int, rows: int, size: int, width: int, dtype: str
) -> None:
    kind = getattr(torch, f"float{dtype}")
    inputs, weight, downstream = numbers(rows, size), numbers(width, size) + 1, numbers(rows, width) - 1
    addend, bias = numbers(rows, width) + 2, numbers(width)
    tolerance = 1e-5 if dtype == "32" else 1e-12
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "LARGE", large)
        for added in (bias,) if way is quick else (addend, bias):
            leaves = [part.to(kind).clone().requires_grad_() for part in (added, inputs, weight)]
            result = way(*leaves)
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


def test_large_products_of_float32_are_done_by_the_loops(
    calls: list[tuple[str, int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", 4 * 5 * 6)
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((6,), (4, 5), (6, 5)))
    for arguments in (
        (bias, inputs, weight),
        (bias, inputs[1:], weight),
        (bias.double(), inputs.double(), weight.double()),
    ):
        quick(*arguments)
        gathered(numbers(len(arguments[1]), 6).to(arguments[1]), arguments[1])
    assert calls == [("affine", 4, 5, 6), ("gathered", 4, 5, 6)]


def test_products_of_fewer_digits_are_torchs(calls: list[tuple[str, int, int, int]]) -> None:
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((6,), (4, 5), (6, 5)))
    with torch.autocast("cpu", torch.bfloat16):
        assert quick(bias, inputs, weight).dtype == torch.bfloat16
    assert not calls


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    ("rows", "size", "width"),
    [(1, 1, 1), (2, 3, 17), (9, 100, 49), (521, 33, 7), (600, 48, 8), (17, 5, 164), (300, 405, 20)],
)
def test_products_of_all_sizes_equal_an_oracle(
    rows: int, size: int, width: int, threads: int, calls: list[tuple[str, int, int, int]]
) -> None:
    """Parts of a vector and of a group of rows, more threads than rows, and sums of more rows than are near."""
    torch.set_num_threads(threads)
    bias, inputs, weight = numbers(width), numbers(rows, size), numbers(width, size)
    above = numbers(rows, width) + 1
    leaves = [part.float().requires_grad_() for part in (bias, inputs, weight)]
    found = quick(*leaves)
    found.backward(above.float())
    wanted = [above.sum(0), above @ weight, above.T @ inputs]
    for one, expected in zip(
        [found, *(leaf.grad for leaf in leaves)], [bias + inputs @ weight.T, *wanted], strict=True
    ):
        assert one is not None
        numpy.testing.assert_allclose(one.detach().double().numpy(), expected.numpy(), rtol=1e-5, atol=1e-4)
    sizes = ("affine", rows, size, width), ("affine", rows, width, size), ("gathered", rows, size, width)
    assert calls == [*sizes]


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 5), size=st.integers(1, 5), width=st.integers(1, 5))
def test_a_weights_gradient_is_gathered_over_the_rows(rows: int, size: int, width: int) -> None:
    gradients, inputs = numbers(rows, width), numbers(rows, size) + 1
    expected = sum(numpy.outer(one, other) for one, other in zip(gradients.numpy(), inputs.numpy(), strict=True))
    numpy.testing.assert_allclose(gathered(gradients, inputs).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [2, 4])
def test_a_weights_gradient_lies_as_the_weight_does(size: int) -> None:
    assert gathered(numbers(9, 3), numbers(9, size)).is_contiguous()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (7, 40), (33, 3), (800, 405)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_turned_weight_is_the_same_and_lies_transposed(
    size: tuple[int, int], threads: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(threads)
    weight = numbers(*size, dtype=dtype)
    for least in (1, 10**9):  # by the loops, and by torch
        monkeypatch.setattr(products, "WORTH_TURNING", least)
        found = turned(weight)
        assert torch.equal(found, weight) and found.T.is_contiguous()


def test_matrices_may_lie_either_way(calls: list[tuple[str, int, int, int]]) -> None:
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((1,), (7, 5), (3, 5)))
    bias = bias.expand(3)
    lying = [part.T.contiguous().T.requires_grad_() for part in (inputs, weight)]
    found = quick(bias, *lying)
    torch.testing.assert_close(found, inputs @ weight.T + bias)
    found.sum().backward()  # whose gradient is one number, seen as many
    torch.testing.assert_close(lying[1].grad, inputs.sum(0).expand(3, 5))
    assert len(calls) == 3


def test_a_gradient_that_nobody_asks_for_is_not_taken(calls: list[tuple[str, int, int, int]]) -> None:
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((3,), (4, 2), (3, 2)))
    weight.requires_grad_()
    quick(bias, inputs, weight).sum().backward()
    once = [("affine", 4, 2, 3), ("gathered", 4, 2, 3)]
    assert calls == once
    quick(bias, inputs.requires_grad_(), weight).sum().backward()
    assert calls == [*once, ("affine", 4, 2, 3), ("affine", 4, 3, 2), ("gathered", 4, 2, 3)]


def test_second_derivatives_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LARGE", 1)
    inputs = numbers(2, 3, dtype=torch.float32).requires_grad_()
    result = quick(numbers(4, dtype=torch.float32), inputs, numbers(4, 3, dtype=torch.float32)).square().sum()
    (gradient,) = torch.autograd.grad(result, inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
