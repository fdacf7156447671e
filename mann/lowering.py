"""How Inductor compiles the products of a step: to code of the project's own, where torch's is slower.

    large products with a weight     oneDNN's (`mann.products`), called from C++, with no Python in between
    products with few rows           loops over vectors (few_rows.h), as where a memory's heads read, write and compare

A library's product of 4 heads with a memory takes twice as long as the loops, most of it to find out what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import getsource
from pathlib import Path
from sys import modules
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch._inductor.lowering  # before what it imports, which imports it
from torch._inductor import config, ir
from torch._inductor.codegen.cpp_template import CppTemplate
from torch._inductor.kernel.bmm import tuned_baddbmm, tuned_bmm
from torch._inductor.lowering import lowerings
from torch._inductor.mkldnn_ir import LinearUnary, _create_output_node
from torch.compiler import config as of_cache

FEW = 8
"""Rows that are few."""
LARGE = 2**16
"""Numbers in a matrix from which on torch's product stays: threads share it, and memory is what it waits for."""

_LOOPS = Path(__file__).with_name("few_rows.h")


def with_weight(inputs: Any, weight: Any, bias: Any) -> Any:
    """Lower `mann.products`' product to oneDNN's."""
    factors = [ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(inputs))]
    # A weight stays as it lies in memory: oneDNN takes it either way.
    factors += [ir.ExternKernel.realize_input(one) for one in (weight, bias) if one is not None]
    size = [factors[0].get_size()[0], factors[1].get_size()[0]]
    layout = ir.FixedLayout(factors[0].get_device(), factors[0].get_dtype(), size)
    nothing_more = ("none", [-1], "")
    product = LinearUnary(layout, factors, nothing_more if bias is not None else (None, *nothing_more))
    return ir.TensorBox.create(_create_output_node(product))


class Matrices(NamedTuple):
    """How a batch of matrices lies in memory.

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


class FewRows(CppTemplate):
    """A call of one of the loops for each matrix of a batch.

    Args:
        loop: Which.
        sizes: Of the batch, and the M, N and K of [M, K] [K, N].
        factors: What is multiplied, and what is added, if anything.
        layout: That of the product.
    """

    def __init__(self, loop: str, sizes: tuple[int, ...], factors: list[Matrices], layout: ir.Layout):
        super().__init__("few_rows", [factor.node for factor in factors], layout, num_threads=1)
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
            f"{{&{kernel.index(node, [0, 0, 0])} + b * {step}, {rows}, {columns}}}"
            for node, step, rows, columns in self._factors
        ] + ["{nullptr, 0, 0}"] * (3 - len(self._factors))
        return f"""{self.header().getvalue()}
{_LOOPS.read_text()}
extern "C" {signature} {{
  for (int64_t b = 0; b < {batch}; b++)
    mann::{self._loop}<{", ".join(map(str, sizes))}>({", ".join(matrices)}, out + b * {sizes[0] * sizes[1]});
}}"""


def batched(left: Any, right: Any) -> Any:
    """Lower left [batch, m, k] right [batch, k, n]."""
    return _few(left, right) or tuned_bmm(left, right)


def batched_sum(addend: Any, left: Any, right: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """Lower beta addend + alpha left right."""
    sum_of_both = beta == alpha == 1 and [*addend.get_size()] == [*left.get_size()[:2], right.get_size()[2]]
    loop = _few(left, right, addend) if sum_of_both else None
    return loop or tuned_baddbmm(addend, left, right, beta=beta, alpha=alpha)


def _few(*operands: Any) -> ir.TensorBox | None:
    """Return the product of two, plus a third one if there is one, by the loops; None where torch's is to be taken."""
    sizes = [[*map(int, operand.get_size())] for operand in operands]
    (batch, m, k), n = sizes[0], sizes[1][2]
    suits = all(operand.get_dtype() == torch.float32 and operand.get_device().type == "cpu" for operand in operands)
    if not suits or min(m, n, k) > FEW or max(m * k, k * n, m * n) >= LARGE:
        return None
    left, right, *addend = map(_lying, operands)
    # A product is as well that of the factors transposed, the other way round.
    ways = {False: (m, n, left, right, addend), True: (n, m, right.turned, left.turned, [one.turned for one in addend])}
    for turned, (height, width, first, second, added) in ways.items():
        by_rows = second.columns == 1 and all(one.columns == 1 for one in added)
        by_columns = second.rows == 1 and all(one.columns == 1 for one in added)
        loop = (by_rows and height <= FEW and "sums") or (by_columns and height <= FEW and "dots")
        loop = loop or (by_rows and k <= FEW and "outer")
        if loop:
            shape: tuple[Any, Any] = [batch, m, n], [m * n, 1, m] if turned else [m * n, n, 1]
            layout = ir.FixedLayout(operands[0].get_device(), torch.float32, *shape)
            return FewRows(loop, (batch, height, width, k), [first, second, *added], layout).generate().output_node()
    return None


def _lying(operand: Any) -> Matrices:
    """Return how an operand lies in memory, once it is there. A row or a column is next to itself."""
    node = ir.ExternKernel.require_stride1(ir.ExternKernel.realize_input(operand))
    node.freeze_layout()
    (_, height, width), (batch, rows, columns) = (map(int, of) for of in (node.get_size(), node.get_stride()))
    return Matrices(node, batch, 1 if height == 1 else rows, 1 if width == 1 else columns)


LOWERINGS = {
    torch.ops.mann.product.default: with_weight,
    torch.ops.aten.bmm.default: batched,
    torch.ops.aten.baddbmm.default: batched_sum,
}
# The compiler's cache does not look at a lowering: what was compiled with another one would be taken for this.
TAG = getsource(modules[__name__]) + _LOOPS.read_text()


@contextmanager
def own() -> Iterator[None]:
    """Compile with these. What follows a loop is not fused with it: it would have to be part of its code."""
    tagged: Any = of_cache.patch(cache_key_tag=TAG)  # pyright: ignore
    with patch.dict(lowerings, LOWERINGS), config.patch(epilogue_fusion=False), tagged:
        yield
