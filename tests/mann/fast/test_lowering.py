"""Compiled products, searches for the lowest numbers and tanh, compared with numpy in float64."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple
from unittest.mock import patch
from uuid import uuid4

import numpy
import pytest
import torch
from torch import Tensor

from mann.addressing.ranking import lowest
from mann.fast import lowering
from mann.fast.compiled_unrolling import CompiledUnrolling

pytestmark = pytest.mark.usefixtures("cxx_compiler")

SIZES = [(1, 1, 17), (8, 64, 135)]
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


class Found(NamedTuple):
    """The products of one size and their gradients, compiled.

    case: the factors; row: all products, [2, numbers]; gradients: of the sum of a row times its coefficients.
    """

    case: Case
    row: Tensor
    gradients: Case


def compiled(*sizes: tuple[int, int, int], dtypes: Sequence[torch.dtype] = ()) -> list[Found]:
    """Return the products of each size; dtypes: of each, float32 where there is none."""

    def products(factors: Sequence[Case]) -> list[list[Tensor]]:
        return [Case(*each).products(torch.bmm, torch.baddbmm, transpose) for each in factors]

    def step(_: Any, now: Any, state: Any) -> Any:
        return now[0], (), (state[0], products(state[0]))

    cases = [Case(numbers(2, r, s), numbers(2, r, w), numbers(2, s + 1, w)) for r, s, w in sizes]
    by_case = zip(cases, dtypes or [torch.float32] * len(cases), strict=True)
    leaves = [Case(*(tensor.to(dtype).requires_grad_() for tensor in one)) for one, dtype in by_case]
    # The products are a part of the state: to compile their concatenation would take longer than all of them.
    before = leaves, [[torch.zeros_like(one) for one in each] for each in products(leaves)]
    _, (_, found) = CompiledUnrolling()(step, (), (torch.zeros(1, 2, 1),), before)
    rows = [torch.cat([one.flatten(1) for one in each], 1) for each in found]
    weighted = [(row * torch.tensor(coefficients(*row.shape), dtype=row.dtype)).sum() for row in rows]
    gradients = iter(torch.autograd.grad(weighted, [tensor for one in leaves for tensor in one]))
    return [
        Found(case, row.detach(), Case(*(next(gradients) for _ in case))) for case, row in zip(cases, rows, strict=True)
    ]


def expected(case: Case) -> numpy.ndarray:
    """Return the same products by numpy, [2, numbers]."""
    doubles = Case(*(tensor.detach().double().numpy() for tensor in case))
    found = doubles.products(numpy.matmul, in_numpy, lambda of: of.transpose(0, 2, 1))
    return numpy.concatenate([one.reshape(2, -1) for one in found], 1)


def assert_right(found: Found, tolerance: float) -> None:
    """Compare with numpy; gradients with the change of the sum, which is quadratic, along a direction."""
    case, row, gradients = found
    numpy.testing.assert_allclose(row.double().numpy(), expected(case), rtol=tolerance, atol=30 * tolerance)
    for name, tensor in case._asdict().items():
        along = numbers(*tensor.shape[::-1]).transpose(0, 2)

        def sum_at(where: Tensor, name: str = name) -> float:
            moved = expected(case._replace(**{name: where}))
            return float((moved * coefficients(*moved.shape)).sum())

        change = (sum_at(tensor.double() + along) - sum_at(tensor.double() - along)) / 2
        gradient = getattr(gradients, name).double()
        assert float((gradient * along).sum()) == pytest.approx(change, rel=100 * tolerance, abs=300 * tolerance)


def compiled_again() -> Any:
    """Generate code though there is some of the same step; what the C++ compiler makes of it is kept."""
    return patch.object(lowering, "TAG", str(uuid4()))  # a part of the key by which generated code is found again


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
    for found in compiled(*SIZES):
        assert_right(found, 1e-5)
    everything = {Call(*one) for one in product(("row_product", "dot_product"), (False, True), (False, True))}
    everything |= {Call("pointwise", adds, transposed=False) for adds in (False, True)}
    assert loops.keys() == everything


def test_products_of_other_types_and_of_many_rows_are_computed_by_torch(loops: Counter[Call]) -> None:
    double, many_rows = compiled((3, 5, 7), (9, 17, 11), dtypes=(torch.float64, torch.float32))
    assert_right(double, 1e-12)
    assert_right(many_rows, 1e-5)
    assert not loops


def test_a_large_product_is_computed_by_torch(loops: Counter[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "LARGE_MEMORY", 1)
    (found,) = compiled((3, 5, 2))
    assert_right(found, 1e-5)
    assert not loops


@pytest.mark.parametrize(
    ("rows", "sizes", "threads"),
    [(1, [(1, 1)], 1), (21, [(1, 5), (5, 17), (7, 1), (33, 100)], 1), (7, [(400, 400)], 2)],
)
def test_products_with_a_weight_equal_an_oracle(
    rows: int, sizes: list[tuple[int, int]], threads: int, loops: Counter[Call]
) -> None:
    """Of weights [width, size]; the last is large enough to be shared by threads: 7 sequences have no equal shards."""

    def step(weights: Any, now: Any, state: Any) -> Any:
        inputs, _ = state
        products = [torch.addmm(z, h, w.T) for z, h, w in zip(now, inputs, weights, strict=True)]
        return now[0].detach(), tuple(inputs), (inputs, products)  # no gradient but through the products

    torch.set_num_threads(threads)
    values = [(numbers(width, size), numbers(1, rows, width), numbers(rows, size)) for size, width in sizes]
    weights, added, inputs = zip(*([one.clone().requires_grad_() for one in each] for each in values), strict=True)
    before = list(inputs), [torch.zeros(rows, width) for _, width in sizes]
    _, (_, found) = CompiledUnrolling()(step, weights, added, before)
    downstream = [numbers(width, rows).T for _, width in sizes]
    sums = [(product * above).sum() for product, above in zip(found, downstream, strict=True)]
    gradients = torch.autograd.grad(sums, (*weights, *added, *inputs))
    for number, (each, dz) in enumerate(zip(values, downstream, strict=True)):
        w, z, h, dz = (tensor.double().numpy() for tensor in (*each, dz))
        wanted = [z[0] + h @ w.T, dz.T @ h, dz[None], dz @ w]
        for one, expected in zip((found[number].detach(), *gradients[number :: len(sizes)]), wanted, strict=True):
            numpy.testing.assert_allclose(one.double().numpy(), expected, rtol=1e-5, atol=1e-4)
    # Backward, the gradient of the product is added to that of the state. Torch may turn products with a side of 1 into
    # pointwise ones.
    loop = Call("row_product", adds=True, transposed=False)
    assert loops.keys() <= {loop} and loops[loop] >= 2 * sum(min(rows, *size) > 1 for size in sizes)


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


def test_the_lowest_are_those_of_a_stable_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = list(product((torch.float32, torch.float64), SEARCHES))

    def step(_: Any, now: Any, state: Any) -> Any:
        numbers, _ = state
        found = [one.gather(-1, lowest(one, count)) for one, (_, (_, count)) in zip(numbers, searches, strict=True)]
        return now[0], (), (numbers, found)

    counts: list[int] = []
    known = lowering.LowestTemplate.__init__

    def made(self: Any, numbers: Any, count: int, layout: Any) -> None:
        counts.append(count)
        known(self, numbers, count, layout)

    monkeypatch.setattr(lowering.LowestTemplate, "__init__", made)
    # Whole numbers, so that there are ties.
    numbers = [torch.randint(-4, 5, size).to(dtype).requires_grad_() for dtype, (size, _) in searches]
    blank = [torch.zeros_like(one[..., :count]) for one, (_, (_, count)) in zip(numbers, searches, strict=True)]
    with compiled_again():
        _, (_, found) = CompiledUnrolling()(step, (), (torch.zeros(1, 3, 1),), (numbers, blank))
    downstream = [torch.rand_like(one) for one in found]
    sums = [(one * above).sum() for one, above in zip(found, downstream, strict=True)]
    gradients = torch.autograd.grad(sums, numbers)
    assert sorted(counts) == sorted(count for _, (_, count) in searches)  # and not once more in the backward pass
    for one, above, gradient, row in zip(found, downstream, gradients, numbers, strict=True):
        row = row.detach().numpy()
        order = numpy.argsort(row, -1, kind="stable")[..., : one.shape[-1]]
        expected = numpy.zeros_like(row)
        numpy.put_along_axis(expected, order, above.numpy(), -1)
        numpy.testing.assert_array_equal(one.detach().numpy(), numpy.take_along_axis(row, order, -1))
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
