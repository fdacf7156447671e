"""Compiling a network for a long training."""

from typing import Final

from torch import nn

from mann.models.network import MemoryNetwork
from mann.settings import AnyConfig, Memory

WORTH_COMPILING: Final = 500
"""Training steps from which on compiling (10 to 30 seconds, once) pays off."""


def is_compiled(config: AnyConfig) -> bool:
    """Return whether steps are compiled: those of a memory network, in a training that is long enough."""
    return isinstance(config.model, Memory) and config.steps >= WORTH_COMPILING


def compile_if_long(network: nn.Module, config: AnyConfig) -> None:
    """Compile the steps of a memory network, if the training is long enough for that to pay off."""
    if isinstance(network, MemoryNetwork) and is_compiled(config):
        from mann.fast import fast  # here, since the compiled path is optional

        network.unroll = fast()
