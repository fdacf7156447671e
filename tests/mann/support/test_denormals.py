"""Denormal numbers are flushed to 0 for a while, in all threads that are started meanwhile."""

import subprocess
import sys

import pytest
import torch

from mann.support.denormals import flushed_denormals

CHECK = """
import torch
from contextlib import nullcontext
from mann.support.denormals import flushed_denormals

with {context}():
    torch.set_num_threads(2)
    tiny = torch.full((1_000_000,), 2.0**-100, requires_grad=True)
    product = tiny * 2.0**-40
    print(int((product != 0).sum()))
    (product * 2.0**-100).sum().backward()
    print(int((tiny.grad != 0).sum()))
"""


def left(context: str) -> list[int]:
    """Return how many of a million denormal products, and of their gradients, are not 0."""
    code = CHECK.format(context=context)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_all_threads_flush_denormals() -> None:
    assert left("nullcontext") == [1_000_000, 1_000_000]
    assert left("flushed_denormals") == [0, 0]


def half_of_the_smallest() -> float:
    """Return a number that is denormal, or 0 where denormals are flushed."""
    return float(torch.tensor(2.0**-126) / 2)


def test_it_ends_as_it_began() -> None:
    assert half_of_the_smallest() > 0
    with flushed_denormals():
        with flushed_denormals():
            assert half_of_the_smallest() == 0
        assert half_of_the_smallest() == 0
    assert half_of_the_smallest() > 0
    with pytest.raises(KeyError), flushed_denormals():
        raise KeyError
    assert half_of_the_smallest() > 0
