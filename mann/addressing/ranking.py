"""Which slots come first: by their usage, their age, how alike they are to a key.

An operator, for the compiler to know it: it looks for a few slots in one pass, instead of sorting all
(`mann.fast.lowering`;
what that brings is in docs/log.md).
"""

import torch
from torch import Tensor
from torch.library import Library

OPERATORS = Library("mann", "DEF")
OPERATORS.define("lowest(Tensor numbers, int count) -> Tensor")


def _sorted(numbers: Tensor, count: int) -> Tensor:
    # A stable sort, not topk, whose order among ties is undefined: runs must be repeatable on every device.
    return torch.sort(numbers, dim=-1, stable=True).indices[..., :count].contiguous()


OPERATORS.impl("lowest", _sorted, "CompositeExplicitAutograd")


def lowest(numbers: Tensor, count: int) -> Tensor:
    """Return where the `count` lowest numbers are, the lowest first, ties to the lower index.

    numbers: [..., slots], without NaN; no gradient flows into the choice. Returns int64 [..., count], count <= slots.
    """
    return torch.ops.mann.lowest(numbers.detach(), count)
