"""How Inductor compiles operations that it is slow at: to loops of this package (loops.h).

    mm, addmm          products with a weight: `row_product`; float32, on a CPU
    bmm, baddbmm       products of few rows, where a memory's heads read and compare: `row_product` or `dot_product`;
                       where they write, which sums few products: pointwise, fused with the operations around it
    mann::lowest       the lowest numbers of a row; on a CPU
    tanh               a quotient of polynomials; float32, on a CPU

A library has to find out at each call how to multiply. For small products that takes as long as multiplying: the
product of 8 rows with an LSTM's weight takes a library twice as long as these loops, and so does that of 4 heads with a
memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from inspect import getsource
from itertools import chain
from math import prod
from pathlib import Path
from sys import modules
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch.compiler import config as cache_config

from mann.addressing import ranking  # noqa: F401  defines the operator `mann::lowest`
from mann.fast.torch_internals import (
    CppTemplate,
    config,
    fallback_handler,
    ir,
    lowerings,
    make_pointwise,
    ops,
    tuned_addmm,
    tuned_baddbmm,
    tuned_bmm,
    tuned_mm,
)

aten = torch.ops.aten

FEW = 8
"""Rows that are few."""
LARGE_MEMORY = 2**16
"""Numbers in a memory from which on torch's product is used: its threads share it, and it waits for memory anyway."""

TANH = (
    (1.33544893e-08, 2.06089539e-05, 3.49558023e-03, 1.33810190e-01, 9.99999979e-01),
    (7.77648647e-07, 3.28562195e-04, 2.58769522e-02, 4.67143346e-01, 1.0),
)
"""tanh(x) / x for |x| <= 9, a quotient of polynomials in x^2, highest power first: numerator and denominator.

Fitted for the least relative error (2e-8).
"""

_LOOPS = Path(__file__).with_name("loops.h")
_torch_tanh = lowerings[aten.tanh.default]


class Matrices(NamedTuple):
    """How a matrix, or a batch of matrices, is stored.

    Attributes:
        node: The buffer, or the view of a buffer.
        batch, rows, columns: Strides: numbers from one matrix, row or column to the next.
    """

    node: ir.IRNode
    batch: int
    rows: int
    columns: int

    @property
    def transposed(self) -> "Matrices":
        """Each matrix transposed; nothing is moved."""
        return self._replace(rows=self.columns, columns=self.rows)


class ProductTemplate(CppTemplate):
    """Code that calls a loop for each matrix of a batch.

    Args:
        loop: `row_product` or `dot_product`.
        sizes: That of the batch, and M, N and K of [M, K] [K, N].
        operands: Both factors, and the addend if there is one.
        layout: That of the product.
    """

    def __init__(self, loop: str, sizes: tuple[int, ...], operands: list[Matrices], layout: ir.Layout):
        super().__init__("product", [operand.node for operand in operands], layout, num_threads=1)
        self._loop, self._sizes, self._operands = loop, sizes, operands

    def render(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, kernel: Any, template_buffer_node: Any = None, **_: object
    ) -> str:
        """Return the code."""
        # One buffer may be several operands, as in a product with itself: it is declared once.
        names = {operand.node.get_name(): f"in{number}" for number, operand in enumerate(self._operands)}
        inputs = {names[operand.node.get_name()]: operand.node for operand in self._operands}
        signature = kernel.def_kernel(inputs=inputs, outputs={"out": template_buffer_node or self.output_node})
        batch, *sizes = self._sizes
        # As `Matrix` of loops.h: address, row stride, column stride. The index of element 0 includes a view's offset.
        matrices = [
            f"{{&{kernel.index(node, [0] * len(node.get_size()))} + b * {stride}, {rows}, {columns}}}"
            for node, stride, rows, columns in self._operands
        ] + ["{nullptr, 0, 0}"] * (3 - len(self._operands))
        return f"""{self.header().getvalue()}
{_LOOPS.read_text()}
extern "C" [[gnu::flatten]] {signature} {{
  for (int64_t b = 0; b < {batch}; b++)
    mann::{self._loop}<{", ".join(map(str, sizes))}>({", ".join(matrices)}, out + b * {sizes[0] * sizes[1]});
}}"""


class LowestTemplate(CppTemplate):
    """Code that calls the loop `lowest` for each row.

    Args:
        numbers: [..., slots], contiguous.
        count: How many of the lowest numbers are searched for.
        layout: That of the indices, [..., count].
    """

    def __init__(self, numbers: ir.IRNode, count: int, layout: ir.Layout):
        super().__init__("lowest", [numbers], layout, num_threads=1)
        self._count = count

    def render(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, kernel: Any, template_buffer_node: Any = None, **_: object
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


def lower_lowest(numbers: ir.TensorBox, count: int) -> ir.TensorBox:
    """Lower `mann.addressing.ranking.lowest`."""
    if not _on_cpu(numbers):
        return fallback_handler(torch.ops.mann.lowest.default)(numbers, count)
    # Computed before the search, not fused into it: Inductor cannot fuse into a template of text.
    node = ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(numbers))
    layout = _layout(node, torch.int64, [*map(int, node.get_size()[:-1]), count])
    return LowestTemplate(node, count, layout).generate().output_node()


def lower_mm(left: ir.TensorBox, right: ir.TensorBox) -> ir.IRNode:
    """Lower left [m, k] right [k, n]."""
    return _weight_product(left, right) or tuned_mm(left, right)


def lower_addmm(
    addend: ir.TensorBox, left: ir.TensorBox, right: ir.TensorBox, *, beta: float = 1, alpha: float = 1
) -> ir.IRNode:
    """Lower beta addend + alpha left right."""
    return _sum(_weight_product, tuned_addmm, addend, (left, right), beta, alpha)


def lower_bmm(left: ir.TensorBox, right: ir.TensorBox) -> ir.IRNode:
    """Lower left [batch, m, k] right [batch, k, n]."""
    return _batched_product(left, right) or tuned_bmm(left, right)


def lower_baddbmm(
    addend: ir.TensorBox, left: ir.TensorBox, right: ir.TensorBox, *, beta: float = 1, alpha: float = 1
) -> ir.IRNode:
    """Lower beta addend + alpha left right."""
    return _sum(_batched_product, tuned_baddbmm, addend, (left, right), beta, alpha)


def pointwise_product(left: ir.TensorBox, right: ir.TensorBox, *addend: ir.TensorBox) -> ir.TensorBox:
    """Return [batch, m, k] [batch, k, n], plus an addend if there is one, as pointwise operations; k is small.

    Inductor fuses these with the pointwise operations before and after them, as where a memory is erased and added to:
    all of them take one pass over the memory, where a product of its own would be another one.
    """
    add, multiply, part = (lowerings[op] for op in (aten.add.Tensor, aten.mul.Tensor, aten.slice.Tensor))
    for factor in (left, right):
        factor.realize()  # not fused: each number of a factor would be computed again for each row
    numbers = range(int(left.get_size()[2]))
    products = (multiply(part(left, 2, k, k + 1), part(right, 1, k, k + 1)) for k in numbers)
    return reduce(add, chain(addend, products))


def lower_tanh(x: ir.TensorBox) -> ir.TensorBox:
    """Lower tanh."""
    if not _suit_loops((x,)):
        return _torch_tanh(x)
    return make_pointwise(_rational_tanh)(x)


def _rational_tanh(x: Any) -> Any:
    """Return tanh(x), with a relative error of at most 4e-7."""
    number = partial(ops.constant, dtype=torch.float32)

    def clamp(x: Any, most: float) -> Any:
        return ops.maximum(ops.minimum(x, number(most)), number(-most))

    x = clamp(x, 9.0)  # from there on tanh is 1 in float32
    square = x * x
    # Horner's rule.
    numerator, denominator = (
        reduce(lambda sum, coefficient: ops.fma(sum, square, coefficient), map(number, powers)) for powers in TANH
    )
    return clamp(x * numerator / denominator, 1.0)  # which rounding might exceed


def _sum(
    product: Callable[..., ir.TensorBox | None],
    fallback: Callable[..., ir.IRNode],
    addend: ir.TensorBox,
    factors: tuple[ir.TensorBox, ir.TensorBox],
    beta: float,
    alpha: float,
) -> ir.IRNode:
    """Return a product added to an addend: by a function for the loops if it takes them, else by torch's lowering."""
    left, right = factors
    is_plain_sum = beta == alpha == 1 and [*addend.get_size()] == [*left.get_size()[:-1], right.get_size()[-1]]
    result = product(left, right, addend) if is_plain_sum else None
    return result or fallback(addend, left, right, beta=beta, alpha=alpha)


def _on_cpu(operand: ir.IRNode) -> bool:
    device = operand.get_device()
    return device is not None and device.type == "cpu"


def _layout(
    like: ir.IRNode, dtype: torch.dtype, size: Sequence[int], strides: Sequence[int] | None = None
) -> ir.Layout:
    """Return the layout of a new tensor on the CPU; without strides it is contiguous."""
    return ir.FixedLayout(like.get_device_or_error(), dtype, size, strides)  # pyright: ignore[reportArgumentType]


def _suit_loops(operands: tuple[ir.TensorBox, ...]) -> bool:
    """Return whether all operands are of the type and on the device that the loops are for."""
    return all(operand.get_dtype() == torch.float32 and _on_cpu(operand) for operand in operands)


def _weight_product(*operands: ir.TensorBox) -> ir.TensorBox | None:
    """Return left right, plus an addend if there is one, by the loops; None where torch's lowering is to be used."""
    if not _suit_loops(operands):
        return None
    left, right, *addend = map(_storage, operands)
    # The loop reads these row by row; torch's product takes any layout.
    if right.columns != 1 or any(one.columns != 1 for one in addend):
        return None
    (m, k), n = map(int, operands[0].get_size()), int(operands[1].get_size()[1])
    return _product("row_product", (1, m, n, k), [left, right, *addend], [m, n], [n, 1])


def _batched_product(*operands: ir.TensorBox) -> ir.TensorBox | None:
    """Return products of few rows, plus an addend if there is one; None where torch's lowering is to be used."""
    (batch, m, k), n = map(int, operands[0].get_size()), int(operands[1].get_size()[2])
    if not _suit_loops(operands) or min(m, n, k) > FEW or max(m * k, k * n, m * n) >= LARGE_MEMORY:
        return None
    # Few products in each sum and a large result, such as an outer product of what to write and where.
    if k <= FEW < min(m, n):
        return pointwise_product(*operands)
    left, right, *addend = map(_storage, operands)
    # A B = (B^T A^T)^T: the same product has its few rows on the left, and its factors stored as a loop reads them,
    # either as it is or with the transposed factors the other way round. The product is then stored transposed.
    straight = (m, n, left, right, addend, [m * n, n, 1])
    swapped = (n, m, right.transposed, left.transposed, [one.transposed for one in addend], [m * n, 1, m])
    for height, width, first, second, added, strides in (straight, swapped):
        loop = _loop(first, second, added)
        if loop and height <= FEW:
            return _product(loop, (batch, height, width, k), [first, second, *added], [batch, m, n], strides)
    return None


def _loop(left: Matrices, right: Matrices, addend: list[Matrices]) -> str | None:
    """Return the loop that reads operands as they are stored; none of them is copied for it."""
    if any(one.columns != 1 for one in addend):
        return None
    if right.columns == 1:
        return "row_product"
    return "dot_product" if left.columns == right.rows == 1 else None


def _product(
    loop: str, sizes: tuple[int, ...], operands: list[Matrices], size: Sequence[int], strides: Sequence[int]
) -> ir.TensorBox:
    """Return the product by a loop, of this size and with these strides."""
    layout = _layout(operands[0].node, torch.float32, size, strides)
    return ProductTemplate(loop, sizes, operands, layout).generate().output_node()


def _storage(operand: ir.TensorBox) -> Matrices:
    """Return how an operand is stored. It is computed before the product, and Inductor may not change its layout."""
    node = ir.ExternKernel.require_stride1(ir.ExternKernel.realize_input(operand))
    node.freeze_layout()
    (*_, height, width), (*batch, rows, columns) = (map(int, of) for of in (node.get_size(), node.get_stride()))
    # The stride of an axis of size 1 is never used, and may be any number: 1 suits all loops.
    return Matrices(node, sum(batch), 1 if height == 1 else rows, 1 if width == 1 else columns)


LOWERINGS = {
    aten.mm.default: lower_mm,
    aten.addmm.default: lower_addmm,
    aten.bmm.default: lower_bmm,
    aten.baddbmm.default: lower_baddbmm,
    torch.ops.mann.lowest.default: lower_lowest,
    aten.tanh.default: lower_tanh,
}
# Inductor's cache of compiled code does not look at the lowerings: without a tag it would return code that was compiled
# with other ones, such as those of torch or of an earlier version of this file.
TAG = getsource(modules[__name__]) + _LOOPS.read_text()


@contextmanager
def custom_lowerings() -> Iterator[None]:
    """Compile with the lowerings of this module.

    Inductor must not fuse operations with the result of a template: they would have to be part of its code.
    """
    cache_key: Any = cache_config.patch(cache_key_tag=TAG)  # pyright: ignore
    with patch.dict(lowerings, LOWERINGS), config.patch(epilogue_fusion=False), cache_key:
        yield
