"""Compiled products, searches for the lowest numbers and tanh, compared with numpy in float64."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from torch import Tensor
from torch._inductor import config

from mann.addressing.ranking import lowest
from mann.fast import lowering
from mann.fast.compiled_unrolling import CompiledUnrolling

pytestmark = pytest.mark.usefixtures("cxx_compiler")

SIZES = [(1, 1, 1), (3, 1, 17), (8, 64, 135)]
"""Rows, slots, and the size of a word: vectors have 4, 8 or 16 numbers, and a part of a row as many as 24 vectors."""


class Case(NamedTuple):
    """The factors.

    weights [2, rows, slots], keys [2, rows, word_size], memory [2, slots + 1, word_size].
    """

    weights: Any
    keys: Any
    memory: Any

    def products(self, matmul: Any, plus: Any, transposed: Any) -> list[Any]:
        """Return each kind of product of heads with a memory, most of them without its first slot, and a square.

        plus(addend, left, right): addend + left right.
        """
        weights, keys, memory, whole = self.weights, self.keys, self.memory[:, 1:], self.memory
        return [
            matmul(weights, memory),
            matmul(transposed(memory), transposed(weights)),
            matmul(keys, transposed(whole)),
            matmul(memory, transposed(keys)),
            matmul(transposed(weights), keys),
            matmul(transposed(keys), weights),
            plus(memory, transposed(weights), keys),
            plus(transposed(memory), transposed(keys), weights),
            plus(keys, weights, memory),
            plus(weights, keys, transposed(memory)),
            plus(transposed(weights), memory, transposed(keys)),
            matmul(keys, transposed(keys)),
        ]


class Call(NamedTuple):
    """Which loop, whether it adds the product to something, and whether the product is written transposed."""

    loop: str
    adds: bool
    transposed: bool


def numbers(*size: int) -> Tensor:
    """Return the same random numbers for the same size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)))


def coefficients(batch: int, size: int) -> numpy.ndarray:
    """Return a coefficient for each product in a row, all of them different."""
    return numpy.cos(numpy.arange(batch * size)).reshape(batch, size)


def in_numpy(addend: Any, left: Any, right: Any) -> Any:
    return addend + left @ right


def transpose(matrices: Tensor) -> Tensor:
    return matrices.transpose(1, 2)


def compiled(dtype: torch.dtype, *sizes: tuple[int, int, int]) -> tuple[list[Case], Tensor, list[Case]]:
    """Return the factors, and, compiled, all products in a row and the gradients of their weighted sum."""

    def products(factors: Sequence[Case]) -> list[Tensor]:
        return [one for each in factors for one in Case(*each).products(torch.bmm, torch.baddbmm, transpose)]

    def step(_: Any, now: Any, state: Any) -> Any:
        return now[0], (), (state[0], products(state[0]))

    cases = [Case(numbers(2, r, s), numbers(2, r, w), numbers(2, s + 1, w)) for r, s, w in sizes]
    leaves = [Case(*(tensor.to(dtype).requires_grad_() for tensor in one)) for one in cases]
    # The products are a part of the state: to compile their concatenation would take longer than all of them.
    before = leaves, [torch.zeros_like(one) for one in products(leaves)]
    _, (_, found) = CompiledUnrolling()(step, (), (torch.zeros(1, 2, 1, dtype=dtype),), before)
    row = torch.cat([one.flatten(1) for one in found], 1)
    weighted = row * torch.tensor(coefficients(*row.shape), dtype=dtype)
    gradients = iter(torch.autograd.grad(weighted.sum(), [tensor for one in leaves for tensor in one]))
    return cases, row.detach(), [Case(*(next(gradients) for _ in one)) for one in cases]


def expected(cases: list[Case]) -> numpy.ndarray:
    """Return the same products by numpy."""
    doubles = [Case(*(tensor.detach().double().numpy() for tensor in one)) for one in cases]
    found = [
        one.reshape(2, -1)
        for each in doubles
        for one in each.products(numpy.matmul, in_numpy, lambda of: of.transpose(0, 2, 1))
    ]
    return numpy.concatenate(found, 1)


def assert_right(cases: list[Case], found: Tensor, gradients: list[Case], tolerance: float) -> None:
    """Compare with numpy; gradients with the change of the sum, which is quadratic, along a direction."""
    numpy.testing.assert_allclose(found.double().numpy(), expected(cases), rtol=tolerance, atol=30 * tolerance)
    for number, one in enumerate(cases):
        for name, tensor in one._asdict().items():
            along = numbers(*tensor.shape[::-1]).transpose(0, 2)

            def sum_at(where: Tensor, number: int = number, name: str = name) -> float:
                moved = [*cases]
                moved[number] = cases[number]._replace(**{name: where})
                row = expected(moved)
                return float((row * coefficients(*row.shape)).sum())

            change = (sum_at(tensor.double() + along) - sum_at(tensor.double() - along)) / 2
            gradient = getattr(gradients[number], name).double()
            assert float((gradient * along).sum()) == pytest.approx(change, rel=100 * tolerance, abs=300 * tolerance)


def compiled_again() -> Any:
    """Generate code though there is some of the same step; what the C++ compiler makes of it is kept."""
    return config.patch(fx_graph_cache=False)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[Call]]:
    """How often each loop was called, and how often the product was pointwise."""
    counted: Counter[Call] = Counter()
    known = lowering.ProductTemplate.__init__

    def made(self: Any, loop: str, sizes: Any, factors: list[Any], layout: Any) -> None:
        counted[Call(loop, adds=len(factors) == 3, transposed=layout.stride[-1] != 1)] += 1
        known(self, loop, sizes, factors, layout)

    def pointwise(left: Any, right: Any, *addend: Any) -> Any:
        counted[Call("pointwise", adds=bool(addend), transposed=False)] += 1
        return pointwise_product(left, right, *addend)

    pointwise_product = lowering.pointwise_product
    monkeypatch.setattr(lowering.ProductTemplate, "__init__", made)
    monkeypatch.setattr(lowering, "pointwise_product", pointwise)
    with compiled_again():
        yield counted


def test_products_and_gradients_equal_an_oracle(loops: Counter[Call]) -> None:
    assert_right(*compiled(torch.float32, *SIZES), 1e-5)
    everything = {Call(*one) for one in product(("row_product", "dot_product"), (False, True), (False, True))}
    everything |= {Call("pointwise", adds, transposed=False) for adds in (False, True)}
    assert loops.keys() == everything


@pytest.mark.parametrize(
    ("dtype", "size", "tolerance"),
    [
        pytest.param(torch.float64, (3, 5, 7), 1e-12, id="double"),
        pytest.param(torch.float32, (9, 17, 11), 1e-5, id="many rows"),
    ],
)
def test_other_products_are_computed_by_torch(
    dtype: torch.dtype, size: tuple[int, int, int], tolerance: float, loops: Counter[Call]
) -> None:
    assert_right(*compiled(dtype, size), tolerance)
    assert not loops


def test_a_large_product_is_computed_by_torch(loops: Counter[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "LARGE_MEMORY", 1)
    assert_right(*compiled(torch.float32, (3, 5, 2)), 1e-5)
    assert not loops


@pytest.mark.parametrize(
    ("rows", "size", "width", "threads"),
    [(1, 1, 1, 1), (3, 1, 5, 1), (8, 5, 17, 1), (9, 7, 1, 1), (21, 33, 100, 1), (7, 400, 400, 2)],
)
def test_products_with_a_weight_equal_an_oracle(
    rows: int, size: int, width: int, threads: int, loops: Counter[Call]
) -> None:
    """The last of them is large enough to be shared by threads: 7 sequences have no equal shards."""

    def step(weights: Any, now: Any, state: Any) -> Any:
        return torch.addmm(now[0], state, weights[0].T), (state,), state

    torch.set_num_threads(threads)
    values = numbers(width, size), numbers(1, rows, width), numbers(rows, size)
    weight, added, inputs = (tensor.clone().requires_grad_() for tensor in values)
    features, _ = CompiledUnrolling()(step, (weight,), (added,), inputs)
    downstream = numbers(width, rows).T
    found = torch.autograd.grad((features[0] * downstream).sum(), (weight, added, inputs))
    w, p, h, dz = (tensor.double().numpy() for tensor in (*values, downstream))
    wanted = [p[0] + h @ w.T, dz.T @ h, dz[None], dz @ w]
    for one, expected in zip((features[0].detach(), *found), wanted, strict=True):
        numpy.testing.assert_allclose(one.double().numpy(), expected, rtol=1e-5, atol=1e-4)
    if min(rows, size, width) > 1:  # others are sums of pointwise products
        # Backward, the gradient of the product is added to that of the state.
        assert loops == {Call("row_product", adds=True, transposed=False): 2}


def test_a_product_with_a_weight_in_the_other_layout_is_computed_by_torch(loops: Counter[Call]) -> None:
    def step(_: Any, now: Any, state: Any) -> Any:
        return now[0] @ state.T, (), state

    rows, state = numbers(1, 4, 5), numbers(4, 5).requires_grad_()
    features, _ = CompiledUnrolling()(step, (), (rows,), state)
    torch.testing.assert_close(features[0], rows[0] @ state.T)
    # The factors of the gradients are stored as the loops read them.
    assert loops.total() == 2


SEARCHES = [((3, 1), 1), ((3, 5), 5), ((3, 130), 4), ((3, 2, 17), 3), ((3, 2000), 7)]
"""Sizes of numbers, and how many of the lowest numbers of each row are searched for."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_lowest_are_those_of_a_stable_sort(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(_: Any, now: Any, state: Any) -> Any:
        found = [one.gather(-1, lowest(one, count)) for one, (_, count) in zip(state, SEARCHES, strict=True)]
        return torch.cat([one.flatten(1) for one in found], 1) + now[0], (), state

    counts: list[int] = []
    known = lowering.LowestTemplate.__init__

    def made(self: Any, numbers: Any, count: int, layout: Any) -> None:
        counts.append(count)
        known(self, numbers, count, layout)

    monkeypatch.setattr(lowering.LowestTemplate, "__init__", made)
    # Whole numbers, so that there are ties.
    state = tuple(torch.randint(-4, 5, size).to(dtype).requires_grad_() for size, _ in SEARCHES)
    with compiled_again():
        features, _ = CompiledUnrolling()(step, (), (torch.zeros(1, 3, 1, dtype=dtype),), state)
    downstream = torch.rand_like(features)
    gradients = torch.autograd.grad((features * downstream).sum(), state)
    assert sorted(counts) == sorted(count for _, count in SEARCHES)  # and not once more in the backward pass
    sizes = [one[..., :count].numel() // 3 for one, (_, count) in zip(state, SEARCHES, strict=True)]
    parts = zip(features[0].detach().split(sizes, 1), downstream[0].split(sizes, 1), strict=True)
    for (found, above), gradient, one, (_, count) in zip(parts, gradients, state, SEARCHES, strict=True):
        numbers = one.detach().numpy()
        order = numpy.argsort(numbers, -1, kind="stable")[..., :count]
        expected = numpy.zeros_like(numbers)
        numpy.put_along_axis(expected, order, above.reshape(order.shape).numpy(), -1)
        lowest_numbers = numpy.take_along_axis(numbers, order, -1)
        numpy.testing.assert_array_equal(found.reshape(order.shape).numpy(), lowest_numbers)
        numpy.testing.assert_array_equal(gradient.numpy(), expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 4e-7), (torch.float64, 1e-15)])
def test_tanh_equals_an_oracle_up_to_a_relative_error(dtype: torch.dtype, tolerance: float) -> None:
    def step(_: Any, now: Any, state: Any) -> Any:
        return now[0].tanh(), (), state

    around = numpy.concatenate([numpy.geomspace(1e-30, 8.9, 10_001), numpy.linspace(0, 30, 10_000), [1e30, numpy.inf]])
    x = torch.tensor(numpy.concatenate([-around, around, [numpy.nan]]), dtype=dtype)
    rows = x[None, None].clone().requires_grad_()
    features, _ = CompiledUnrolling()(step, (), (rows,), torch.zeros(1, 1))
    (gradient,) = torch.autograd.grad(features.sum(), rows)
    found, expected = features.detach().flatten(), numpy.tanh(x.double().numpy())
    numpy.testing.assert_allclose(found.double().numpy(), expected, rtol=tolerance, atol=0)
    numpy.testing.assert_allclose(gradient.flatten().double().numpy(), 1 - expected**2, rtol=0, atol=3 * tolerance)
    assert found[:-1].abs().max() == 1 and found[-1].isnan()
    if dtype == torch.float32:  # and it is not torch's
        assert not torch.equal(found[:-1], x[:-1].tanh())
