"""Steps of a scheme by hand, as a network does them."""

from typing import Any

import torch
from torch import Tensor

from mann.addressing import Controls, Scheme, Write
from mann.addressing import memory as memories


def random_controls(scheme: Scheme, batch: int, word_size: int, generator: torch.Generator) -> Controls:
    """Return float64 controls in their ranges, from normal numbers."""
    return {
        name: control.range(torch.randn(batch, control.heads, control.size, generator=generator, dtype=torch.float64))
        for name, control in scheme.controls(word_size).items()
    }


def one_step(scheme: Scheme, controls: Controls, memory: Tensor, state: Any) -> tuple[Write, Tensor, Tensor, Any]:
    """Write, and read the written memory; returns the write, the memory, the read weights and the state."""
    write, state = scheme.write(controls, memory, state)
    written = memories.write(memory, *write)
    read, state = scheme.read(controls, written, state, write)
    return write, written, read, state
