"""Reading and writing a memory matrix with given weightings (NTM sections 3.1 and 3.2).

memory: [batch, slots, word_size]; weights: [batch, heads, slots] in [0, 1].
"""

from functools import reduce

import torch
from torch import Tensor


def read(memory: Tensor, weights: Tensor) -> Tensor:
    """R = sum_i w(i) M(i), equation 2. Returns [batch, heads, word_size]."""
    return weights @ memory


def kept(weights: Tensor, erase: Tensor) -> Tensor:
    """Product over heads of 1 - w(i) e, equation 3: the share of each number that survives the erase.

    erase: [batch, heads, word_size] in [0, 1]. Returns [batch, slots, word_size] in [0, 1].
    """
    factors = (1 - weights[:, head, :, None] * erase[:, head, None, :] for head in range(weights.shape[1]))
    return reduce(torch.mul, factors)  # one after the other: the gradient of torch.prod is slow


def write(memory: Tensor, weights: Tensor, keep: Tensor, add: Tensor) -> Tensor:
    """M(i) = keep(i) M(i) + sum over heads of w(i) a, equations 3 and 4; several heads add up.

    keep: [batch, slots, word_size or 1] in [0, 1]; add: [batch, heads, word_size].
    """
    return torch.baddbmm(memory * keep, weights.mT, add)
