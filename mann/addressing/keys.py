"""Keys and queries as feature vectors over the slots: their normalisation, their slots, their binding to a query.

    on the sphere     k / |k|                                  of silu(emitted)
    on the simplex    k / sum_i k(i)                           of elu(emitted) + 1
    binding           k = k' + f (q_{t-1} - k'),  f in (0, 1)

The label of an image arrives one step after it. A value written at the key k' of its own step is bound to the wrong
image. Sequence layers bridge that step by a short convolution over time; here a share f of the key is the last query.
Before the first step the query is 0, so the first key of a sequence is short.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from mann.addressing.similarity import EPSILON, inverse_length

FOLLOW_BIAS: Final = 2.0
"""Initial bias of the control `follow`: sigmoid(2) = 0.88 of a key is the last query."""

READ_EPSILON: Final = 1e-6
"""Added to the mean square of what is read, before the root."""


def on_sphere(keys: Tensor) -> Tensor:
    """Return keys [..., slots] of length 1; zeros stay zeros."""
    return keys * inverse_length(keys)


def on_simplex(keys: Tensor) -> Tensor:
    """Return keys [..., slots], which are >= 0, with a sum of 1; zeros stay zeros.

    >>> on_simplex(torch.tensor([[1.0, 3.0]]))
    tensor([[0.2500, 0.7500]])
    """
    return keys / (keys.sum(-1, keepdim=True) + EPSILON)


def bound_key(keys: Tensor, follow: Tensor, last_query: Tensor) -> Tensor:
    """K = k' + f (q_{t-1} - k'): the share `follow` [batch, heads, 1] of a key is the query of the step before."""
    return keys + follow * (last_query - keys)


def follow_at_first(biases: Mapping[str, Tensor]) -> None:
    """Start with keys that follow the last query, in place, where a scheme has the control `follow`."""
    if "follow" in biases:
        biases["follow"].fill_(FOLLOW_BIAS)


def slots_of_each(slots: int, heads: int) -> int:
    """Return how many slots a head has, where heads share out the slots in blocks; the last may be smaller or empty."""
    return -(-slots // heads)


def in_own_slots(numbers: Tensor, slots: int) -> Tensor:
    """Return the numbers of each head in its own block of the slots, 0 elsewhere.

    numbers: [batch, heads, slots_of_each(slots, heads)]; returns [batch, heads, slots].

    >>> in_own_slots(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 4)
    tensor([[[1., 2., 0., 0.],
             [0., 0., 3., 4.]]])
    """
    heads = numbers.shape[1]
    if heads == 1:
        return numbers
    blocks = torch.eye(heads, dtype=numbers.dtype, device=numbers.device)
    return (blocks.unsqueeze(-1) * numbers.unsqueeze(2)).flatten(2)[..., :slots]


def over_own_slots(shares: Tensor, slots: int) -> Tensor:
    """Return the share that each slot keeps, [batch, slots, 1], from those of the heads that have them in blocks.

    shares: [batch, heads, 1], or with a number for each slot of a block, as in `in_own_slots`.
    """
    size = slots_of_each(slots, shares.shape[1])
    return shares.expand(-1, -1, size).flatten(1)[:, :slots, None]


def with_normalised_reads(weights: Tensor, memory: Tensor) -> Tensor:
    """Scale read weights [batch, heads, slots] so that the root mean square of what each head reads is 1 (RMSNorm)."""
    reads = weights @ memory
    return weights * torch.rsqrt(reads.square().mean(-1, keepdim=True) + READ_EPSILON)
