"""Products with a weight: what they are, and which way they go."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann import products
from mann.products import affine, gathered, quick

ONEDNN = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def numbers(*size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the same random numbers for the same size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=torch.float64).to(dtype)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """The sizes of the products that oneDNN did."""
    seen: list[tuple[int, int, int]] = []

    known = products._onednn

    def watched(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        seen.append((inputs.shape[0], inputs.shape[1], len(weight)))
        return known(inputs, weight, bias)

    monkeypatch.setattr(products, "_onednn", watched)
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


@ONEDNN
def test_large_products_of_float32_go_to_onednn(
    calls: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", 4 * 5 * 6)
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((6,), (4, 5), (6, 5)))
    quick(bias, inputs, weight)
    assert calls == [(4, 5, 6)]
    quick(bias, inputs[1:], weight)
    quick(bias.double(), inputs.double(), weight.double())
    assert calls == [(4, 5, 6)]
    monkeypatch.setattr(products, "_HAS_ONEDNN", False)
    quick(bias, inputs, weight)
    assert calls == [(4, 5, 6)]


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 5), size=st.integers(1, 5), width=st.integers(1, 5))
def test_a_weights_gradient_is_gathered_over_the_rows(rows: int, size: int, width: int) -> None:
    gradients, inputs = numbers(rows, width), numbers(rows, size) + 1
    expected = sum(numpy.outer(one, other) for one, other in zip(gradients.numpy(), inputs.numpy(), strict=True))
    numpy.testing.assert_allclose(gathered(gradients, inputs).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [2, 4])
def test_a_weights_gradient_lies_as_the_weight_does(size: int) -> None:
    assert gathered(numbers(9, 3), numbers(9, size)).is_contiguous()


@ONEDNN
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_onednn_takes_matrices_that_lie_either_way(turned: tuple[bool, bool]) -> None:
    inputs, weight = numbers(7, 5, dtype=torch.float32), numbers(3, 5, dtype=torch.float32)
    left = inputs.T.contiguous().T if turned[0] else inputs
    right = weight.T.contiguous().T if turned[1] else weight
    torch.testing.assert_close(products._onednn(left, right), inputs @ weight.T)
    bias = numbers(3, dtype=torch.float32)
    torch.testing.assert_close(products._onednn(left, right, bias), inputs @ weight.T + bias)


@ONEDNN
def test_a_gradient_that_nobody_asks_for_is_not_taken(
    calls: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LARGE", 1)
    bias, inputs, weight = (numbers(*size, dtype=torch.float32) for size in ((3,), (4, 2), (3, 2)))
    weight.requires_grad_()
    quick(bias, inputs, weight).sum().backward()
    assert calls == [(4, 2, 3)]
    quick(bias, inputs.requires_grad_(), weight).sum().backward()
    assert calls == [(4, 2, 3), (4, 2, 3), (4, 3, 2)]


@ONEDNN
def test_second_derivatives_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LARGE", 1)
    inputs = numbers(2, 3, dtype=torch.float32).requires_grad_()
    result = quick(numbers(4, dtype=torch.float32), inputs, numbers(4, 3, dtype=torch.float32)).square().sum()
    (gradient,) = torch.autograd.grad(result, inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
