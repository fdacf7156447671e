"""Random numbers that depend on a seed alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def drawn_with(seed: int) -> Iterator[None]:
    """Draw the weights that are made in this block with a seed; the global random state is left alone.

    >>> with drawn_with(0):
    ...     first = torch.nn.Linear(2, 2)
    >>> with drawn_with(0):
    ...     second = torch.nn.Linear(2, 2)
    >>> torch.equal(first.weight, second.weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        # Weights are drawn on the CPU; torch.manual_seed would seed GPUs too.
        torch.default_generator.manual_seed(seed)
        yield
