"""Numbers below 1e-38, which a processor computes with many times more slowly than with others.

Sharp weightings are full of them: a softmax, or a power, of small weights. They are 0 for every purpose here, and
flushing them to 0 makes a training step of a memory with sharp weightings up to twice as fast (docs/log.md).
"""

import torch


def flush_denormals() -> None:
    """Compute with 0 in place of denormal numbers, in this thread and in those that it starts from now on.

    Call it before torch starts its threads. On processors that cannot do so it changes nothing.
    """
    torch.set_flush_denormal(True)
