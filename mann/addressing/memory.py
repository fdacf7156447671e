"""Reading and writing a memory matrix with given weightings (Graves et al. 2014, sections 3.1 and 3.2).

    read    r = sum_i w(i) M(i)                                            equation 2
    erase   M~(i) = M_{t-1}(i) prod_heads (1 - w(i) e)                     equation 3
    add     M(i) = M~(i) + sum_heads w(i) a                                equation 4

memory: [batch, slots, word_size]; weights: [batch, heads, slots] in [0, 1].
"""

from functools import reduce

import torch
from torch import Tensor


def read(memory: Tensor, weights: Tensor) -> Tensor:
    """Return r = sum_i w(i) M(i), equation 2. Returns [batch, heads, word_size].

    >>> memory = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> read(memory, torch.tensor([[[0.5, 0.5]]]))
    tensor([[[2., 3.]]])
    """
    return weights @ memory


def retained(weights: Tensor, erase: Tensor) -> Tensor:
    """prod_heads (1 - w(i) e), the factor of equation 3: the share of each number that the erase leaves.

    erase: [batch, heads, word_size] in [0, 1]. Returns [batch, slots, word_size] in [0, 1].
    """
    factors = (1 - weights[:, head, :, None] * erase[:, head, None, :] for head in range(weights.shape[1]))
    # Multiplied one by one: the gradient of torch.prod is slow, and divides by factors that can be 0.
    return reduce(torch.mul, factors)


def write(memory: Tensor, weights: Tensor, keep: Tensor, add: Tensor) -> Tensor:
    """M(i) = keep(i) M(i) + sum_heads w(i) a, equations 3 and 4; the adds of several heads are summed.

    keep: [batch, slots, word_size or 1] in [0, 1]; add: [batch, heads, word_size].

    >>> memory = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> weights = torch.tensor([[[0.0, 1.0]]])
    >>> write(memory, weights, keep=1 - weights.mT, add=torch.tensor([[[5.0, 6.0]]]))
    tensor([[[1., 2.],
             [5., 6.]]])
    """
    # One fused product for all heads: each write is then a single pass over the memory.
    return torch.baddbmm(memory * keep, weights.mT, add)
