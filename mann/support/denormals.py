"""Numbers below 1e-38, which a processor computes with many times more slowly than with others.

Sharp weightings are full of them: a softmax, or a power, of small weights. In place of 0 they change nothing here, and
without them a training step of a memory with sharp weightings is up to twice as fast (docs/log.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Compute with 0 in place of denormal numbers, in this thread and in those that it starts meanwhile.

    On processors that cannot do so it changes nothing. Python's own numbers are flushed too: read settings outside.
    """
    before = float(torch.tensor(torch.finfo(torch.float32).tiny) / 2) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
