"""Content addressing: the similarity of a key and each memory slot, and the weighting by similarity.

Everywhere keys: [batch, heads, word_size]; memory: [batch, slots, word_size]; similarities: [batch, heads, slots].
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import torch
from torch import Tensor

EPSILON: Final = 1e-8
"""Added to squared norms: an all-zero word has similarity 0 to every key and a finite gradient (at most 1e4)."""


def inverse_length(words: Tensor) -> Tensor:
    """Return 1 / |word| for words [..., word_size], as [..., 1]."""
    # EPSILON is added inside the root: outside, the root's gradient at a word of zeros would be infinite.
    return torch.rsqrt(words.square().sum(-1, keepdim=True) + EPSILON)


def cosine_similarity(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = k . M(i) / (|k| |M(i)|) in [-1, 1], NTM equation 6."""
    # The products are divided by the lengths of the words: the memory itself is read once and no scaled copy is made.
    products = (keys * inverse_length(keys)) @ memory.mT
    return products * inverse_length(memory).mT


def dot_product(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = k . M(i)."""
    return keys @ memory.mT


def negative_distance(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = -|k - M(i)|, at most 0."""
    # Not as |k|^2 - 2 k . M + |M|^2: near a distance of 0 the terms cancel, and so do their gradients.
    differences = keys.unsqueeze(2) - memory.unsqueeze(1)
    return -torch.sqrt(differences.square().sum(-1) + EPSILON)


Similarity = Literal["cosine", "dot", "euclidean"]

SIMILARITIES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "cosine": cosine_similarity,
    "dot": dot_product,
    "euclidean": negative_distance,
}
"""All similarities by name."""


def content_weights(
    keys: Tensor, strengths: Tensor | float, memory: Tensor, similarity: Similarity = "cosine"
) -> Tensor:
    """w^c(i) = softmax_i(strength * K[k, M(i)]), NTM equation 5.

    strengths: [batch, heads, 1] or a number, >= 0. Returns [batch, heads, slots], each row a distribution over slots.

    >>> keys, memory = torch.tensor([[[0.0, 2.0]]]), torch.eye(2)[None]
    >>> content_weights(keys, 10.0, memory).round(decimals=3)
    tensor([[[0., 1.]]])
    """
    return torch.softmax(strengths * SIMILARITIES[similarity](keys, memory), dim=-1)
