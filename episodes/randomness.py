"""Random numbers that depend on the seed and the step alone, never on what was drawn before."""

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

MANY = 128
"""Options for each pair of draws, from which on a row seldom has one twice: in fewer than one of 256 rows."""


def generator_of(seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return the generator of one step; seed and step are >= 0.

    Seed and step are hashed together: steps of one seed, and one step of two seeds, have nothing in common
    but by chance (CPU generators take in 32 bits of the hash: one pair in four thousand million is the same).
    The numbers are the same in every run on one kind of device; CPU and GPU draw different ones.
    """
    # The sequence reads numbers as words of 32 bits and ignores zeros at the end: the high words of a large seed
    # come last, since (seed, step) = (2**32, 0) would be read as (0, 1).
    entropy = numpy.random.SeedSequence((seed % 2**32, step, seed // 2**32)).generate_state(1, numpy.uint64)
    # Torch takes seeds of 64 bits with a sign.
    return torch.Generator(device).manual_seed(int(entropy[0] >> 1))


def draw_without_replacement(
    shape: Sequence[int], count: int, generator: torch.Generator, allowed: Tensor | None = None
) -> Tensor:
    """Draw `count` different options in random order, for every row by itself.

    Args:
        shape: [..., options], the last at least `count`.
        count: How many to draw.
        generator: Where the random numbers come from.
        allowed: bool [..., options], true for what may be drawn, at least `count` in every row; None: everything.

    Returns:
        Positions, int64 [..., count]; each ordered selection is equally likely.
    """
    *rows, options = shape
    if allowed is None and options > MANY * count**2:
        return _draw_of_many(rows, options, count, generator)
    keys = torch.rand(*shape, generator=generator, device=generator.device)
    if allowed is not None:
        keys.masked_fill_(~allowed, -1.0)
    return keys.topk(count, dim=-1).indices


def _draw_of_many(rows: Sequence[int], options: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw as `draw_without_replacement` does, from so many options that drawing a number for each takes longer.

    Rows that have an option twice are drawn again, so that ordered selections stay equally likely.
    """
    drawn = torch.randint(options, (*rows, count), generator=generator, device=generator.device)
    # Each is the same as itself, and as another where a row has an option twice.
    while (twice := (drawn[..., None] == drawn[..., None, :]).sum((-2, -1)) > count).any():
        again = (int(twice.sum()), count)
        drawn[twice] = torch.randint(options, again, generator=generator, device=generator.device)
    return drawn
