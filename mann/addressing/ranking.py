"""Choosing slots in order: the least used, the oldest, the most similar to a key.

The choice is a custom operator so that the compiler recognises it: instead of sorting all slots, compiled code finds
the few that are needed in one pass (`mann.fast.lowering`; docs/log.md has the gain).
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
    """Return the indices of the `count` lowest numbers, the lowest first, ties to the lower index.

    numbers: [..., slots], without NaN; no gradient flows into the choice. Returns int64 [..., count], count <= slots.

    >>> lowest(torch.tensor([3.0, 1.0, 2.0, 1.0]), 3)
    tensor([1, 3, 2])
    """
    return torch.ops.mann.lowest(numbers.detach(), count)
