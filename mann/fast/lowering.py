"""How Inductor compiles what it is not quick at: to loops of the project's own (loops.h).

    products with a weight       float32, on a CPU
    products with few rows       the same, as where a memory's heads read and compare
    sums of few products         the same, as where they write: number by number, with what comes before and after
    the lowest of some numbers   on a CPU
    tanh                         float32, on a CPU: as a quotient of polynomials
    parts of vectors             how they are stored
    all else                     tensors do not overlap, so that what is loaded once stays in registers

A library has to find out at each call what to do. Its product of 8 rows with an LSTM's weight takes twice as long as
the loops, and so does that of 4 heads with a memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, reduce
from inspect import getsource
from itertools import chain
from math import prod
from pathlib import Path
from re import fullmatch
from sys import modules
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch._inductor.lowering  # before what it imports, which imports it
from torch._inductor import config, ir
from torch._inductor.codegen.common import KernelArgs
from torch._inductor.codegen.cpp import CppVecKernel
from torch._inductor.codegen.cpp_template import CppTemplate
from torch._inductor.kernel.bmm import tuned_baddbmm, tuned_bmm
from torch._inductor.kernel.mm import tuned_addmm, tuned_mm
from torch._inductor.lowering import fallback_handler, lowerings, make_pointwise
from torch._inductor.utils import IndentedBuffer
from torch._inductor.virtualized import ops
from torch.compiler import config as of_cache

from mann.addressing import ranking  # noqa: F401  whose operator is lowered

aten = torch.ops.aten

FEW = 8
"""Rows that are few."""
LARGE = 2**16
"""Numbers in a memory from which on torch's product stays: threads share it, and memory is what it waits for."""

TANH = (
    (1.33544893e-08, 2.06089539e-05, 3.49558023e-03, 1.33810190e-01, 9.99999979e-01),
    (7.77648647e-07, 3.28562195e-04, 2.58769522e-02, 4.67143346e-01, 1.0),
)
"""tanh x / x for x up to 9, above and below the line: of powers of x^2, fitted for the least relative error (2e-8)."""

_LOOPS = Path(__file__).with_name("loops.h")
_torchs_tanh = lowerings[aten.tanh.default]


class Matrices(NamedTuple):
    """How a matrix, or a batch of them, lies in memory.

    node: The buffer, or what of it; batch, rows, columns: Numbers from one to the next.
    """

    node: Any
    batch: int
    rows: int
    columns: int

    @property
    def turned(self) -> "Matrices":
        """Each matrix transposed."""
        return self._replace(rows=self.columns, columns=self.rows)


class Loops(CppTemplate):
    """A call of one of the loops for each matrix of a batch.

    Args:
        loop: Which.
        sizes: Of the batch, and the M, N and K of [M, K] [K, N].
        factors: What is multiplied, and what is added, if anything.
        layout: That of the product.
    """

    def __init__(self, loop: str, sizes: tuple[int, ...], factors: list[Matrices], layout: ir.Layout):
        super().__init__("product", [factor.node for factor in factors], layout, num_threads=1)
        self._loop, self._sizes, self._factors = loop, sizes, factors

    def render(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, kernel: Any, template_buffer_node: Any = None, **_: Any
    ) -> str:
        """Return the code. Nothing is fused with it."""
        names = {factor.node.get_name(): f"in{number}" for number, factor in enumerate(self._factors)}
        inputs = {names[factor.node.get_name()]: factor.node for factor in self._factors}
        signature = kernel.def_kernel(inputs=inputs, outputs={"out": template_buffer_node or self.output_node})
        batch, *sizes = self._sizes
        matrices = [
            f"{{&{kernel.index(node, [0] * len(node.get_size()))} + b * {step}, {rows}, {columns}}}"
            for node, step, rows, columns in self._factors
        ] + ["{nullptr, 0, 0}"] * (3 - len(self._factors))
        return f"""{self.header().getvalue()}
{_LOOPS.read_text()}
extern "C" [[gnu::flatten]] {signature} {{
  for (int64_t b = 0; b < {batch}; b++)
    mann::{self._loop}<{", ".join(map(str, sizes))}>({", ".join(matrices)}, out + b * {sizes[0] * sizes[1]});
}}"""


class Lowest(CppTemplate):
    """A call of the loop for each row.

    Args:
        numbers: [..., slots], as they lie one after the other.
        count: How many are looked for.
        layout: That of the places, [..., count].
    """

    def __init__(self, numbers: Any, count: int, layout: ir.Layout):
        super().__init__("lowest", [numbers], layout, num_threads=1)
        self._count = count

    def render(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, kernel: Any, template_buffer_node: Any = None, **_: Any
    ) -> str:
        """Return the code."""
        (numbers,) = self.input_nodes
        outputs = {"out": template_buffer_node or self.output_node}
        signature = kernel.def_kernel(inputs={"numbers": numbers}, outputs=outputs)
        *rows, slots = map(int, numbers.get_size())
        first = kernel.index(numbers, [0] * len(numbers.get_size()))
        return f"""{self.header().getvalue()}
{_LOOPS.read_text()}
extern "C" [[gnu::flatten]] {signature} {{
  for (int64_t row = 0; row < {prod(rows)}; row++)
    mann::lowest<{slots}, {self._count}>(&{first} + row * {slots}, out + row * {self._count});
}}"""


def lowest(numbers: Any, count: int) -> ir.TensorBox:
    """Lower where the lowest numbers of each row are."""
    if numbers.get_device().type != "cpu":
        return fallback_handler(torch.ops.mann.lowest.default)(numbers, count)
    node = ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(numbers))
    size: Any = [*node.get_size()[:-1], count]
    layout = ir.FixedLayout(node.get_device(), torch.int64, size)
    return Lowest(node, count, layout).generate().output_node()


def single(left: Any, right: Any) -> Any:
    """Lower left [m, k] right [k, n]."""
    return _with_weight(left, right) or tuned_mm(left, right)


def single_sum(addend: Any, left: Any, right: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Lower beta addend + alpha left right."""
    return _sum(_with_weight, tuned_addmm, addend, left, right, beta, alpha)


def batched(left: Any, right: Any) -> Any:
    """Lower left [batch, m, k] right [batch, k, n]."""
    return _few(left, right) or tuned_bmm(left, right)


def batched_sum(addend: Any, left: Any, right: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Lower beta addend + alpha left right."""
    return _sum(_few, tuned_baddbmm, addend, left, right, beta, alpha)


def written_out(left: Any, right: Any, *addend: Any) -> ir.TensorBox:
    """Return sums of few products, number by number: one pass over memory with all else that is done to it."""
    add, times, part = (lowerings[op] for op in (aten.add.Tensor, aten.mul.Tensor, aten.slice.Tensor))
    for factor in (left, right):
        factor.realize()  # or each number of it would be made once for each row
    numbers = range(int(left.get_size()[2]))
    products = (times(part(left, 2, k, k + 1), part(right, 1, k, k + 1)) for k in numbers)
    return reduce(add, chain(addend, products))


def tanh(x: Any) -> Any:
    """Lower tanh."""
    if not _suit((x,)):
        return _torchs_tanh(x)
    return make_pointwise(_quotient)(x)


def _quotient(x: Any) -> Any:
    """Return tanh x, up to 4e-7 of it."""
    number = partial(ops.constant, dtype=torch.float32)

    def within(x: Any, most: float) -> Any:
        return ops.maximum(ops.minimum(x, number(most)), number(-most))

    x = within(x, 9.0)  # from where on tanh is 1 in float32
    square = x * x
    above, below = (reduce(lambda sum, one: ops.fma(sum, square, one), map(number, powers)) for powers in TANH)
    return within(x * above / below, 1.0)


def _sum(loops: Callable[..., Any], torchs: Any, addend: Any, left: Any, right: Any, beta: Any, alpha: Any) -> Any:
    """Return a product added to something, by the loops if they take it."""
    sum_of_both = beta == alpha == 1 and [*addend.get_size()] == [*left.get_size()[:-1], right.get_size()[-1]]
    product = loops(left, right, addend) if sum_of_both else None
    return product or torchs(addend, left, right, beta=beta, alpha=alpha)


def _suit(operands: tuple[Any, ...]) -> bool:
    """Return whether all are what the loops are for."""
    return all(operand.get_dtype() == torch.float32 and operand.get_device().type == "cpu" for operand in operands)


def _with_weight(*operands: Any) -> ir.TensorBox | None:
    """Return the product of two, plus a third one if there is one, by the loops; None where torch's is to be taken."""
    if not _suit(operands):
        return None
    left, right, *addend = map(_lying, operands)
    if right.columns != 1 or any(one.columns != 1 for one in addend):
        return None
    (m, k), n = map(int, operands[0].get_size()), int(operands[1].get_size()[1])
    return _made("sums", (1, m, n, k), [left, right, *addend], [m, n], [n, 1])


def _few(*operands: Any) -> ir.TensorBox | None:
    """Return the products of few rows, plus a third operand if there is one; None where torch's are to be taken."""
    (batch, m, k), n = map(int, operands[0].get_size()), int(operands[1].get_size()[2])
    if not _suit(operands) or min(m, n, k) > FEW or max(m * k, k * n, m * n) >= LARGE:
        return None
    if k <= FEW < min(m, n):
        return written_out(*operands)
    left, right, *addend = map(_lying, operands)
    # A product is as well that of the factors transposed, the other way round.
    ways = {False: (m, n, left, right, addend), True: (n, m, right.turned, left.turned, [one.turned for one in addend])}
    for turned, (height, width, first, second, added) in ways.items():
        by_rows = second.columns == 1 and all(one.columns == 1 for one in added)
        by_columns = first.columns == second.rows == 1 and all(one.columns == 1 for one in added)
        loop = (by_rows and "sums") or (by_columns and "dots")
        if loop and height <= FEW:
            strides = [m * n, 1, m] if turned else [m * n, n, 1]
            return _made(loop, (batch, height, width, k), [first, second, *added], [batch, m, n], strides)
    return None


def _made(loop: str, sizes: tuple[int, ...], factors: list[Matrices], size: Any, strides: Any) -> ir.TensorBox:
    """Return the product, of such a size and lying so."""
    layout = ir.FixedLayout(factors[0].node.get_device(), torch.float32, size, strides)
    return Loops(loop, sizes, factors, layout).generate().output_node()


def _lying(operand: Any) -> Matrices:
    """Return how an operand lies in memory, once it is there. A row or a column is next to itself."""
    node = ir.ExternKernel.require_stride1(ir.ExternKernel.realize_input(operand))
    node.freeze_layout()
    (*_, height, width), (*batch, rows, columns) = (map(int, of) for of in (node.get_size(), node.get_stride()))
    return Matrices(node, sum(batch), 1 if height == 1 else rows, 1 if width == 1 else columns)


LOWERINGS = {
    aten.mm.default: single,
    aten.addmm.default: single_sum,
    aten.bmm.default: batched,
    aten.baddbmm.default: batched_sum,
    torch.ops.mann.lowest.default: lowest,
    aten.tanh.default: tanh,
}
# The compiler's cache does not look at a lowering: what was compiled with another one would be taken for this.
TAG = getsource(modules[__name__]) + _LOOPS.read_text()


_store_line = CppVecKernel._get_store_line


def store_line(kernel: Any, value: Any, name: str, index: Any, dtype: torch.dtype, **options: Any) -> IndentedBuffer:
    """Return the code that stores a vector, of which a part is stored as the loops do it (`Row`)."""
    code = _store_line(kernel, value, name, index, dtype, **options)
    parted = fullmatch(r"(.*)\.store\((.*), (.*)\);", code.getvalue().strip())
    if parted and dtype == torch.float32 and kernel.tail_size is not None:
        vector, place, count = parted.groups()
        code = IndentedBuffer()
        code.writeline(
            f"{{ float all[{kernel.tiling_factor}]; {vector}.store(all); std::copy_n(all, {count}, {place}); }}"
        )
    return code


_arguments = KernelArgs.cpp_argdefs


def arguments(kernel: KernelArgs, *options: Any) -> tuple[list[str], ...]:
    """Return how a kernel's arguments are declared, what is passed, and its types; each is another tensor."""
    declared, *passed = _arguments(kernel, *options)
    return [one.replace("* ", "* __restrict__ ") for one in declared], *passed


@contextmanager
def own() -> Iterator[None]:
    """Compile with these. What follows a loop is not fused with it: it would have to be part of its code."""
    tagged: Any = of_cache.patch(cache_key_tag=TAG)  # pyright: ignore
    stores = patch.object(CppVecKernel, "_get_store_line", store_line)
    apart = patch.object(KernelArgs, "cpp_argdefs", arguments)
    with patch.dict(lowerings, LOWERINGS), stores, apart, config.patch(epilogue_fusion=False), tagged:
        yield
