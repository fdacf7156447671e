"""Denormal numbers are flushed to 0 by commands, in all threads."""

import subprocess
import sys

CHECK = """
import torch
from mann.support.denormals import flush_denormals

{call}
torch.set_num_threads(2)
tiny = torch.full((1_000_000,), 2.0**-100, requires_grad=True)
product = tiny * 2.0**-40
print(int((product != 0).sum()))
(product * 2.0**-100).sum().backward()
print(int((tiny.grad != 0).sum()))
"""


def left(call: str) -> list[int]:
    """Return how many of a million denormal products, and of their gradients, are not 0."""
    done = subprocess.run([sys.executable, "-c", CHECK.format(call=call)], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_all_threads_flush_denormals_once_asked_to() -> None:
    assert left("") == [1_000_000, 1_000_000]
    assert left("flush_denormals()") == [0, 0]
