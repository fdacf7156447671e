"""Compiling a network for a long training."""

from typing import Final

from torch import nn

from mann.models.network import MemoryNetwork
from mann.settings import AnyConfig

WORTH_COMPILING: Final = 500
"""Training steps from which on compiling (10 to 30 seconds, once) pays off."""


def compile_if_long(network: nn.Module, config: AnyConfig) -> None:
    """Compile the steps of a memory network, if the training is long enough for that to pay off."""
    if isinstance(network, MemoryNetwork) and config.steps >= WORTH_COMPILING:
        from mann.fast import fast  # here, since the compiled path is optional

        network.unroll = fast()
