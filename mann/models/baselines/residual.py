"""Layers of sequence models that stand beside the memory networks: pre-norm residual blocks around a mixer over time.

    x <- x + mixer(norm(x))       mixes the steps of a sequence; has a state
    x <- x + mlp(norm(x))         each step by itself

Continuing a sequence from the state gives the outputs of the whole sequence at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from torch import Tensor, nn

EXPANSION: Final = 4
"""Hidden units of the MLP as a multiple of the width."""


class Mixer(nn.Module, ABC):
    """Mixes the steps of a sequence, called like `torch.nn.LSTM`; its state is a tuple of tensors [batch, ...]."""

    @abstractmethod
    def initial_state(self, batch: int, like: Tensor) -> Any:
        """Return the state before the first step, with the dtype and device of `like`."""

    @abstractmethod
    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """[time, batch, width] -> the same, and the state after the last step."""


class ResidualBlock(nn.Module):
    """A mixer and an MLP, each behind a normalisation and beside a skip connection.

    Args:
        mixer: Mixes the steps.
        width: Numbers at each step.
    """

    def __init__(self, mixer: Mixer, width: int):
        super().__init__()
        self.mixer_norm = nn.RMSNorm(width)
        self.mixer = mixer
        self.mlp_norm = nn.RMSNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, EXPANSION * width), nn.GELU(), nn.Linear(EXPANSION * width, width))

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """[time, batch, width] -> the same, and the mixer's state."""
        mixed, after = self.mixer(self.mixer_norm(inputs), state)
        inputs = inputs + mixed
        return inputs + self.mlp(self.mlp_norm(inputs)), after


class ResidualStack(nn.Module):
    """An input layer, residual blocks, a normalisation and an output layer; used like `torch.nn.LSTM`.

    >>> import torch
    >>> from mann.models.baselines.transformer import CausalAttention
    >>> model = ResidualStack(CausalAttention, 9, 8, blocks=2, width=32, heads=4)
    >>> outputs, state = model(torch.zeros(5, 3, 9))
    >>> outputs, state = model(torch.zeros(1, 3, 9), state)  # continues from the state
    >>> outputs.shape, state[0].keys.shape
    (torch.Size([1, 3, 8]), torch.Size([3, 4, 6, 8]))

    Args:
        kind: Makes the mixer of a block from (width, heads): `CausalAttention` or `DeltaLayer`.
        input_size: Width of an input.
        output_size: Width of an output.
        blocks: Number of blocks.
        width: Numbers at each step of a block.
        heads: Heads of a block, which share out its width.
    """

    def __init__(
        self,
        kind: Callable[[int, int], Mixer],
        input_size: int,
        output_size: int,
        blocks: int = 2,
        width: int = 128,
        heads: int = 4,
    ):
        super().__init__()
        self.input = nn.Linear(input_size, width)
        self.blocks = nn.ModuleList(ResidualBlock(kind(width, heads), width) for _ in range(blocks))
        self.norm = nn.RMSNorm(width)
        self.output = nn.Linear(width, output_size)

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Return the state of each block before the first step, with the dtype and device of `like`."""
        return tuple(block.mixer.initial_state(batch, like) for block in self._blocks())

    def forward(self, inputs: Tensor, state: tuple[Any, ...] | None = None) -> tuple[Tensor, tuple[Any, ...]]:
        """[time, batch, input_size] -> [time, batch, output_size], and the state of each block."""
        # What the blocks add to is float32 under autocast too, as the weights are.
        hidden, after = self.input(inputs).to(self.norm.weight.dtype), []
        state = self.initial_state(inputs.shape[1], hidden) if state is None else state
        for block, before in zip(self._blocks(), state, strict=True):
            hidden, now = block(hidden, before)
            after.append(now)
        return self.output(self.norm(hidden)), tuple(after)

    def _blocks(self) -> list[ResidualBlock]:
        return list(self.blocks)  # pyright: ignore[reportReturnType]


def by_head(numbers: Tensor, heads: int) -> Tensor:
    """[time, batch, heads * size] -> [batch, heads, time, size]."""
    return numbers.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)


def joined(numbers: Tensor) -> Tensor:
    """[batch, heads, time, size] -> [time, batch, heads * size]."""
    return numbers.permute(2, 0, 1, 3).flatten(2)
