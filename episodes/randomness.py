"""Random numbers that depend on the seed and the step alone, never on earlier draws."""

from collections.abc import Sequence
from typing import Final

import numpy
import torch
from torch import Tensor

REJECTION_RATIO: Final = 128
"""Options per squared number of draws above which `draw_without_replacement` samples by rejection.

Each of the count^2 / 2 pairs of draws in a row coincides with probability 1 / options, so that fewer than one row in
256 is rejected.
"""


def generator_of(seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return the generator of one step; seed and step are >= 0.

    Seed and step are hashed together, so that the steps of one seed, and the same step of two seeds, are independent
    (CPU generators use 32 bits of the hash: one pair in four thousand million coincides). The numbers are the same in
    every run on one type of device; CPU and GPU draw different ones.
    """
    # SeedSequence splits numbers into 32-bit words and ignores zeros at the end. The high words of a large seed come
    # last: next to the low word, (seed, step) = (2**32, 0) would give the same words as (0, 1).
    entropy = numpy.random.SeedSequence((seed % 2**32, step, seed // 2**32)).generate_state(1, numpy.uint64)
    # Torch accepts signed 64-bit seeds; without the lowest bit, the hash is never negative.
    return torch.Generator(device).manual_seed(int(entropy[0] >> 1))


def draw_without_replacement(
    shape: Sequence[int], count: int, generator: torch.Generator, allowed: Tensor | None = None
) -> Tensor:
    """Draw `count` different options in random order, for every row independently.

    Args:
        shape: [..., options], the last at least `count`.
        count: Number of options to draw.
        generator: Source of the random numbers; the result is on its device.
        allowed: bool [..., options], true for the options that may be drawn, at least `count` in every row; None: all.

    Returns:
        Indices of the options, int64 [..., count]; each ordered selection is equally likely.
    """
    *rows, options = shape
    if allowed is None and options > REJECTION_RATIO * count**2:
        return _draw_by_rejection(rows, options, count, generator)
    # The largest of independent uniform keys are at random places, in random order: one sort for all rows, no loop.
    keys = torch.rand(*shape, generator=generator, device=generator.device)
    if allowed is not None:
        keys.masked_fill_(~allowed, -1.0)  # below every key of an allowed option
    return keys.topk(count, dim=-1).indices


def _draw_by_rejection(rows: Sequence[int], options: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw as `draw_without_replacement` does, from so many options that a key for each would take longer.

    A row with a repeated option is rejected as a whole and drawn again, so that all ordered selections stay equally
    likely.
    """
    drawn = torch.randint(options, (*rows, count), generator=generator, device=generator.device)
    # Compared with the whole row, each option equals itself: `count` equalities, and more where one is repeated.
    while (repeated := (drawn[..., None] == drawn[..., None, :]).sum((-2, -1)) > count).any():
        shape = (int(repeated.sum()), count)
        drawn[repeated] = torch.randint(options, shape, generator=generator, device=generator.device)
    return drawn
