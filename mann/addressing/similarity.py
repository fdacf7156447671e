"""Content addressing: how alike a key and every memory slot are, and the weighting that follows.

Everywhere keys: [batch, heads, word_size]; memory: [batch, slots, word_size]; similarities: [batch, heads, slots].
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

EPSILON = 1e-8
"""Added to squared norms: an all-zero word has similarity 0 to every key and a finite gradient (at most 1e4)."""


def inverse_length(words: Tensor) -> Tensor:
    """Return 1 / |word| for words [..., word_size], as [..., 1]."""
    return torch.rsqrt(words.square().sum(-1, keepdim=True) + EPSILON)


def cosine_similarity(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = k . M(i) / (|k| |M(i)|) in [-1, 1], NTM equation 6."""
    # Lengths are divided out of the products: memory itself is read once and no scaled copy is kept.
    products = (keys * inverse_length(keys)) @ memory.mT
    return products * inverse_length(memory).mT


def dot_product(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = k . M(i)."""
    return keys @ memory.mT


def negative_distance(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = -|k - M(i)|, at most 0."""
    # Not from the three products: near 0 they cancel, and so would the gradient.
    differences = keys.unsqueeze(2) - memory.unsqueeze(1)
    return -torch.sqrt(differences.square().sum(-1) + EPSILON)


Similarity = Literal["cosine", "dot", "euclidean"]

SIMILARITIES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"cosine": cosine_similarity, "dot": dot_product, "euclidean": negative_distance}
)
"""All similarities by name."""


def content_weights(
    keys: Tensor, strengths: Tensor | float, memory: Tensor, similarity: Similarity = "cosine"
) -> Tensor:
    """w^c(i) = softmax_i(strength * K[k, M(i)]), NTM equation 5.

    strengths: [batch, heads, 1] or a number, >= 0. Returns [batch, heads, slots], each row a distribution over slots.
    """
    return torch.softmax(strengths * SIMILARITIES[similarity](keys, memory), dim=-1)
