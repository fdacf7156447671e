"""Products and choices as they are compiled, beside numpy's in float64."""

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from torch import Tensor
from torch._inductor.utils import fresh_cache

from mann.addressing.ranking import lowest
from mann.fast import lowering
from mann.fast.through_time import Compiled

pytestmark = pytest.mark.usefixtures("cxx_compiler")

SIZES = [(1, 1, 1), (3, 1, 17), (4, 128, 40), (5, 70, 129), (8, 16, 7)]
"""Rows, slots, and the size of a word: vectors have 4, 8 or 16 numbers, and a part of a row as many as 24 vectors."""


class Case(NamedTuple):
    """What is multiplied.

    weights [2, rows, slots], keys [2, rows, word_size], memory [2, slots + 1, word_size].
    """

    weights: Any
    keys: Any
    memory: Any

    def products(self, matmul: Any, plus: Any, turned: Any) -> list[Any]:
        """Return each product that a memory is used with, some from where its first slot ends, and a square.

        plus(addend, left, right) is a product added to what comes first, in either layout.
        """
        weights, keys, memory, whole = self.weights, self.keys, self.memory[:, 1:], self.memory
        return [
            matmul(weights, memory),
            matmul(turned(memory), turned(weights)),
            matmul(keys, turned(whole)),
            matmul(memory, turned(keys)),
            matmul(turned(weights), keys),
            matmul(turned(keys), weights),
            plus(memory, turned(weights), keys),
            plus(turned(memory), turned(keys), weights),
            plus(keys, weights, memory),
            plus(weights, keys, turned(memory)),
            plus(turned(weights), memory, turned(keys)),
            matmul(keys, turned(keys)),
        ]


class Taken(NamedTuple):
    """Which loop, whether it adds the product to something, and whether the product is written transposed."""

    loop: str
    adds: bool
    turned: bool


def numbers(*size: int) -> Tensor:
    """Return the same random numbers for the same size."""
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)))


def places(batch: int, size: int) -> numpy.ndarray:
    """Return what each of a row of products is weighed with, all of them different."""
    return numpy.cos(numpy.arange(batch * size)).reshape(batch, size)


def in_numpy(addend: Any, left: Any, right: Any) -> Any:
    return addend + left @ right


def transposed(of: Tensor) -> Tensor:
    return of.transpose(1, 2)


def once(kind: torch.dtype, *sizes: tuple[int, int, int]) -> tuple[list[Case], Tensor, list[Case]]:
    """Return what is multiplied, all products in a row, and the gradients of their weighed sum, each compiled."""

    def step(_: Any, now: Any, state: Any) -> Any:
        found = [
            one.flatten(1) for given in state for one in Case(*given).products(torch.bmm, torch.baddbmm, transposed)
        ]
        return torch.cat(found, 1) + now[0], (), state

    cases = [Case(numbers(2, r, s), numbers(2, r, w), numbers(2, s + 1, w)) for r, s, w in sizes]
    asked = [Case(*(tensor.to(kind).requires_grad_() for tensor in one)) for one in cases]
    found, _ = Compiled()(step, (), (torch.zeros(1, 2, 1, dtype=kind),), tuple(asked))
    weighed = found[0] * torch.tensor(places(*found[0].shape), dtype=kind)
    gradients = iter(torch.autograd.grad(weighed.sum(), [tensor for one in asked for tensor in one]))
    return cases, found[0].detach(), [Case(*(next(gradients) for _ in one)) for one in cases]


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
    """Compare with numpy's; gradients by what the sum changes by, which is quadratic, along a direction."""
    numpy.testing.assert_allclose(found.double().numpy(), expected(cases), rtol=tolerance, atol=30 * tolerance)
    for number, one in enumerate(cases):
        for name, tensor in one._asdict().items():
            along = numbers(*tensor.shape[::-1]).transpose(0, 2)

            def sum_at(where: Tensor, number: int = number, name: str = name) -> float:
                moved = [*cases]
                moved[number] = cases[number]._replace(**{name: where})
                row = expected(moved)
                return float((row * places(*row.shape)).sum())

            change = (sum_at(tensor.double() + along) - sum_at(tensor.double() - along)) / 2
            gradient = getattr(gradients[number], name).double()
            assert float((gradient * along).sum()) == pytest.approx(change, rel=100 * tolerance, abs=300 * tolerance)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[Taken]]:
    """How often each loop was taken, and how often none but what Inductor makes of sums."""
    counted: Counter[Taken] = Counter()
    known = lowering.Loops.__init__

    def made(self: Any, loop: str, sizes: Any, factors: list[Any], layout: Any) -> None:
        counted[Taken(loop, adds=len(factors) == 3, turned=layout.stride[-1] != 1)] += 1
        known(self, loop, sizes, factors, layout)

    def written(left: Any, right: Any, *addend: Any) -> Any:
        counted[Taken("written out", adds=bool(addend), turned=False)] += 1
        return written_out(left, right, *addend)

    written_out = lowering.written_out
    monkeypatch.setattr(lowering.Loops, "__init__", made)
    monkeypatch.setattr(lowering, "written_out", written)
    with fresh_cache():
        yield counted


def test_products_and_gradients_equal_an_oracle(loops: Counter[Taken]) -> None:
    assert_right(*once(torch.float32, *SIZES), 1e-5)
    everything = {Taken(*one) for one in product(("sums", "dots"), (False, True), (False, True))}
    everything |= {Taken("written out", adds, turned=False) for adds in (False, True)}
    assert loops.keys() == everything


@pytest.mark.parametrize(
    ("kind", "size", "tolerance"),
    [
        pytest.param(torch.float64, (3, 5, 7), 1e-12, id="double"),
        pytest.param(torch.float32, (9, 17, 11), 1e-5, id="many rows"),
    ],
)
def test_other_products_are_torchs(
    kind: torch.dtype, size: tuple[int, int, int], tolerance: float, loops: Counter[Taken]
) -> None:
    assert_right(*once(kind, size), tolerance)
    assert not loops


def test_a_large_product_is_torchs(loops: Counter[Taken], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "LARGE", 1)
    assert_right(*once(torch.float32, (3, 5, 2)), 1e-5)
    assert not loops


@pytest.mark.parametrize(
    ("rows", "size", "width", "threads"),
    [(1, 1, 1, 1), (3, 1, 5, 1), (8, 5, 17, 1), (9, 7, 1, 1), (21, 33, 100, 1), (7, 400, 400, 2)],
)
def test_products_with_a_weight_equal_an_oracle(
    rows: int, size: int, width: int, threads: int, loops: Counter[Taken]
) -> None:
    """The last of them is large enough to be shared by threads: of 7 sequences there are no equal lanes."""

    def step(weights: Any, now: Any, state: Any) -> Any:
        return torch.addmm(now[0], state, weights[0].T), (state,), state

    torch.set_num_threads(threads)
    given = numbers(width, size), numbers(1, rows, width), numbers(rows, size)
    weight, added, inputs = (tensor.clone().requires_grad_() for tensor in given)
    features, _ = Compiled()(step, (weight,), (added,), inputs)
    downstream = numbers(width, rows).T
    found = torch.autograd.grad((features[0] * downstream).sum(), (weight, added, inputs))
    by, plus, of, above = (tensor.double().numpy() for tensor in (*given, downstream))
    wanted = [plus[0] + of @ by.T, above.T @ of, above[None], above @ by]
    for one, expected in zip((features[0].detach(), *found), wanted, strict=True):
        numpy.testing.assert_allclose(one.double().numpy(), expected, rtol=1e-5, atol=1e-4)
    if min(rows, size, width) > 1:  # others are sums of pointwise products
        # What the gradient of the product is added to is that of the state.
        assert loops == {Taken("sums", adds=True, turned=False): 2}


def test_a_weight_that_lies_the_other_way_is_torchs(loops: Counter[Taken]) -> None:
    def step(_: Any, now: Any, state: Any) -> Any:
        return now[0] @ state.T, (), state

    rows, state = numbers(1, 4, 5), numbers(4, 5).requires_grad_()
    features, _ = Compiled()(step, (), (rows,), state)
    torch.testing.assert_close(features[0], rows[0] @ state.T)
    # Those of the gradients lie as the loops read them.
    assert loops.total() == 2


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize(("size", "count"), [((1, 1), 1), ((2, 5), 5), ((3, 130), 4), ((2, 3, 17), 3), ((1, 2000), 7)])
def test_the_lowest_are_those_of_a_stable_sort(
    kind: torch.dtype, size: tuple[int, ...], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(_: Any, now: Any, state: Any) -> Any:
        return now[0] + state.gather(-1, lowest(state, count)), (), state

    taken: list[int] = []
    known = lowering.Lowest.__init__

    def made(self: Any, numbers: Any, count: int, layout: Any) -> None:
        taken.append(count)
        known(self, numbers, count, layout)

    monkeypatch.setattr(lowering.Lowest, "__init__", made)
    # Whole numbers, so that there are ties.
    state = torch.randint(-4, 5, size).to(kind).requires_grad_()
    rows, downstream = torch.zeros(1, *size[:-1], count, dtype=kind), torch.rand(*size[:-1], count, dtype=kind)
    with fresh_cache():
        features, _ = Compiled()(step, (), (rows,), state)
    (gradient,) = torch.autograd.grad((features[0] * downstream).sum(), state)
    assert taken == [count]  # and not once more on the way back
    order = numpy.argsort(state.detach().numpy(), -1, kind="stable")[..., :count]
    found, wanted = numpy.zeros(size), numpy.take_along_axis(state.detach().numpy(), order, -1)
    numpy.put_along_axis(found, order, downstream.numpy(), -1)
    numpy.testing.assert_array_equal(features[0].detach().numpy(), wanted)
    numpy.testing.assert_array_equal(gradient.numpy(), found.astype(gradient.numpy().dtype))


def compiled_tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return tanh of numbers, and its derivative."""

    def step(_: Any, now: Any, state: Any) -> Any:
        return now[0].tanh(), (), state

    rows = x[None, None].clone().requires_grad_()
    with fresh_cache():
        features, _ = Compiled()(step, (), (rows,), torch.zeros(1, 1))
    (gradient,) = torch.autograd.grad(features.sum(), rows)
    return features.detach().flatten(), gradient.flatten()


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 4e-7), (torch.float64, 1e-15)])
def test_tanh_equals_an_oracle_up_to_a_share_of_it(kind: torch.dtype, tolerance: float) -> None:
    around = numpy.concatenate([numpy.geomspace(1e-30, 8.9, 10_001), numpy.linspace(0, 30, 10_000), [1e30]])
    x = torch.tensor(numpy.concatenate([-around, around]), dtype=kind)
    found, gradient = compiled_tanh(x)
    expected = numpy.tanh(x.double().numpy())
    numpy.testing.assert_allclose(found.double().numpy(), expected, rtol=tolerance, atol=0)
    numpy.testing.assert_allclose(gradient.double().numpy(), 1 - expected**2, rtol=0, atol=3 * tolerance)
    assert found.abs().max() == 1
    if kind == torch.float32:  # and it is not torch's
        assert not torch.equal(found, x.tanh())


def test_tanh_of_no_number_is_none() -> None:
    found, _ = compiled_tanh(torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0]))
    torch.testing.assert_close(found, torch.tensor([torch.nan, 1.0, -1.0, 0.0]), equal_nan=True)
