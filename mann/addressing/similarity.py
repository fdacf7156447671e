"""Content addressing: how alike a key and every memory slot are, and the weighting that follows."""

import torch
from torch import Tensor

EPSILON = 1e-8
"""Added to squared norms: an all-zero word has similarity 0 to every key and a finite gradient (at most 1e4)."""


def inverse_length(words: Tensor) -> Tensor:
    """Return 1 / |word| for words [..., word_size], as [..., 1]."""
    return torch.rsqrt(words.square().sum(-1, keepdim=True) + EPSILON)


def cosine_similarity(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = k . M(i) / (|k| |M(i)|), NTM equation 6.

    keys: [batch, heads, word_size]; memory: [batch, slots, word_size]; returns [batch, heads, slots] in [-1, 1].
    """
    # Lengths are divided out of the products: memory itself is read once and no scaled copy is kept.
    products = (keys * inverse_length(keys)) @ memory.mT
    return products * inverse_length(memory).mT


def content_weights(keys: Tensor, strengths: Tensor | float, memory: Tensor) -> Tensor:
    """w^c(i) = softmax_i(strength * K[k, M(i)]), NTM equation 5.

    keys: [batch, heads, word_size]; strengths: [batch, heads, 1] or a number, >= 0; memory: [batch, slots, word_size];
    returns [batch, heads, slots], each row a distribution over slots.
    """
    return torch.softmax(strengths * cosine_similarity(keys, memory), dim=-1)
