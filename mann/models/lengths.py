"""Sequences of different lengths in one batch: which steps are within a sequence, and states that are held after it."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from data import InputError
from mann.support.trees import map_leaves

Tree = TypeVar("Tree")


def within(lengths: Sequence[int] | Tensor, time: int, batch: int, device: torch.device) -> Tensor:
    """Return which steps are within each sequence, bool [time, batch].

    Args:
        lengths: The number of steps of each sequence, [batch], each in 1 .. time.
        time: Steps of the batch.
        batch: Sequences.
        device: Of the result.

    Raises:
        InputError: There is not one whole number for each sequence, or one is out of range.

    >>> within([1, 3], time=3, batch=2, device=torch.device("cpu")).int().tolist()
    [[1, 1], [0, 1], [0, 1]]
    """
    try:
        steps = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"`lengths` {lengths!r}: give a whole number for each sequence") from error
    if steps.shape != (batch,) or steps.is_floating_point() or steps.is_complex() or steps.dtype == torch.bool:
        found = f"{steps.dtype} {list(steps.shape)}"
        raise InputError(f"`lengths` holds {found}: give a whole number for each of the {batch} sequences")
    if int(steps.min()) < 1 or int(steps.max()) > time:
        raise InputError(f"`lengths` are {int(steps.min())} to {int(steps.max())}: use 1 to {time}, the steps given")
    return torch.arange(time, device=device)[:, None] < steps.to(device)


def held(after: Tree, before: Tree, running: Tensor) -> Tree:
    """Return the state of each sequence after a step that it takes part in, and else the state before.

    Args:
        after: The state after the step, a tree of tensors [batch, ...].
        before: The state before it.
        running: Above 0 where the sequence takes part in the step, [batch, 1].
    """

    def one(after: Tensor, before: Tensor) -> Tensor:
        return torch.where(running.view(-1, *[1] * (after.dim() - 1)) > 0, after, before)

    return map_leaves(one, after, before)
