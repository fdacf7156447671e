"""From settings to a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from mann.fast.through_time import fast
from mann.models.baselines.nearest import NearestNeighbour
from mann.models.baselines.prototypes import Prototypes
from mann.models.baselines.recurrent import BASELINES
from mann.models.controllers import controller_kind
from mann.models.initial_state import Start
from mann.models.network import MemoryNetwork
from mann.settings.schema import Settings

WORTH_COMPILING = 500
"""Training steps from which on compiling them (10 to 30 seconds, once) is repaid."""


@contextmanager
def drawn_with(seed: int) -> Iterator[None]:
    """Draw the weights that are made here with a seed; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        # Weights are drawn on the CPU; torch.manual_seed would seed GPUs too.
        torch.default_generator.manual_seed(seed)
        yield


def build_network(config: Settings, input_size: int, output_size: int) -> nn.Module:
    """Return a new network, its weights drawn with the config's seed; the global random state is left alone."""
    sizes = (input_size, output_size)
    with drawn_with(config.seed):
        if config.addressing == "prototypes":
            return Prototypes(*sizes)
        if config.addressing == "nearest":
            return NearestNeighbour(*sizes)
        if config.addressing == "none":
            return BASELINES[config.controller](*sizes, config.hidden_size, config.layers)
        return MemoryNetwork(
            *sizes,
            scheme=config.scheme,
            controller=controller_kind(config.controller, config.layers, config.initial_biases, config.activation),
            hidden_size=config.hidden_size,
            slots=config.slots,
            word_size=config.word_size,
            start=partial(Start, memory=config.initial_memory, heads=config.initial_heads),
            read_first=config.read_first,
            clip=config.clip_emitted,
        )


def run_fast(network: nn.Module, config: Settings) -> None:
    """Compile the steps of a network in place, where the training is long enough to repay that."""
    if isinstance(network, MemoryNetwork) and config.steps >= WORTH_COMPILING:
        network.unroll = fast()
