"""Content addressing: how alike a key and every memory slot are, and the weighting that follows."""

import torch
from torch import Tensor

EPSILON = 1e-8
"""Added to squared norms: an all-zero word has similarity 0 to every key and a finite gradient (at most 1e4)."""


def unit(words: Tensor) -> Tensor:
    """Words [..., word_size] scaled to length 1; words far shorter than 1e-4 stay near zero."""
    return words * torch.rsqrt(words.square().sum(-1, keepdim=True) + EPSILON)


def cosine_similarity(keys: Tensor, memory: Tensor) -> Tensor:
    """K[k, M(i)] = k . M(i) / (|k| |M(i)|), NTM equation 6.

    keys: [batch, heads, word_size]; memory: [batch, slots, word_size]; returns [batch, heads, slots] in [-1, 1].
    """
    return unit(keys) @ unit(memory).mT


def content_weights(keys: Tensor, strengths: Tensor | float, memory: Tensor) -> Tensor:
    """w^c(i) = softmax_i(strength * K[k, M(i)]), NTM equation 5.

    keys: [batch, heads, word_size]; strengths: [batch, heads, 1] or a number, >= 0; memory: [batch, slots, word_size];
    returns [batch, heads, slots], each row a distribution over slots.
    """
    return torch.softmax(strengths * cosine_similarity(keys, memory), dim=-1)
