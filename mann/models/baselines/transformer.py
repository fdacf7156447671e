"""A causal Transformer (Vaswani et al. 2017, arXiv 1706.03762) on the same label-offset inputs as the memories.

    attention    softmax(q_t k_s / sqrt d + mask) v_s,   s <= t
    positions    queries and keys are rotated by angles that grow with the step (Su et al. 2021, arXiv 2104.09864), so
                 that their product depends on the distance t - s

Chan et al. 2022 (arXiv 2205.05055) train Transformers on Omniglot with images and labels as separate steps; here a step
has an image and the label before it. Pre-norm residual blocks, see `residual`.

The state is the cache of all earlier keys and values: continuing step by step gives the outputs of the whole sequence
at once. It grows with the sequence, where a memory does not.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mann.models.baselines.residual import Mixer, by_head, joined

ROTARY_BASE: Final = 10_000.0
"""Pair j of d / 2 rotates by ROTARY_BASE^(-2 j / d) a step."""


class Cache(NamedTuple):
    """The keys and values of all earlier steps of a layer.

    Attributes:
        keys, values: [batch, heads, steps, size]; keys are rotated.
    """

    keys: Tensor
    values: Tensor


def rotated(vectors: Tensor, start: int) -> Tensor:
    """Rotate pairs of numbers by angles in proportion to the step; vectors: [..., time, size], size even.

    Args:
        vectors: Queries or keys of the steps start, start + 1, ...; number j is paired with number j + size / 2.
        start: Number of the first step.
    """
    time, size = vectors.shape[-2:]
    digits = torch.promote_types(vectors.dtype, torch.float32)  # bfloat16 would tell few steps apart
    steps = torch.arange(start, start + time, device=vectors.device, dtype=digits)
    rates = ROTARY_BASE ** (-torch.arange(0, size, 2, device=vectors.device, dtype=digits) / size)
    angles = torch.outer(steps, rates)
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


class CausalAttention(Mixer):
    """Attention of each step to itself and those before it.

    Args:
        width: Numbers at each step.
        heads: Attention heads, each of `width / heads` numbers, an even number.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.projection = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def initial_state(self, batch: int, like: Tensor) -> Cache:
        """Return keys and values of no step."""
        nothing = like.new_zeros(batch, self.heads, 0, self.size)
        return Cache(nothing, nothing)

    def forward(self, inputs: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        """[time, batch, width] -> the same, and the keys and values of all steps so far."""
        queries, keys, values = (by_head(part, self.heads) for part in self.projection(inputs).chunk(3, -1))
        start = state.keys.shape[2]
        keys = torch.cat([state.keys, rotated(keys, start)], 2)
        values = torch.cat([state.values, values], 2)
        time = len(inputs)
        # Step t of these is step start + t of the sequence.
        visible = torch.ones(time, start + time, dtype=torch.bool, device=inputs.device).tril(start)
        attended = functional.scaled_dot_product_attention(rotated(queries, start), keys, values, attn_mask=visible)
        return self.output(joined(attended)), Cache(keys, values)
