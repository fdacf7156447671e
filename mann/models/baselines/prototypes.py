"""Prototypical networks (Snell et al. 2017, arXiv 1703.05175), as a network that goes through a sequence.

    c_k       the mean of the features of the drawings that carried label k so far
    -|x - c_k|^2     the logit of label k for a drawing with features x

Beside a memory network with the same encoder, it says what the memory adds. Where the paper leaves off: the sequence
shows drawings of classes that have had no label yet. All labels that nothing has carried share one logit, a learned
one, so that a drawing far from everything is called something new.
"""

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn


class PrototypesState(NamedTuple):
    """What has been seen.

    Attributes:
        last: [batch, features], the drawing whose label comes with the next.
        sums: [batch, labels, features], of the drawings of each label.
        counts: [batch, labels], how many.
    """

    last: Tensor
    sums: Tensor
    counts: Tensor


class Prototypes(nn.Module):
    """Answers with the label whose drawings so far are nearest on average; used like `torch.nn.LSTM`.

    Args:
        input_size: Width of an input: features, and then the one-hot label of the drawing before, of any magnitude.
        output_size: Width of an output: labels.
    """

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.labels = output_size
        self.features = input_size - output_size
        # Squared, as distances are; for each of the features, so that it is learned as fast however many there are.
        self.newness = nn.Parameter(torch.tensor(0.5))

    def initial_state(self, batch: int, like: Tensor) -> PrototypesState:
        """Return the state before the first step, with the dtype and device of `like`."""
        counts = like.new_zeros(batch, self.labels)
        return PrototypesState(
            like.new_zeros(batch, self.features), like.new_zeros(batch, self.labels, self.features), counts
        )

    def forward(self, inputs: Tensor, state: PrototypesState | None = None) -> tuple[Tensor, PrototypesState]:
        """[time, batch, input_size] -> logits [time, batch, output_size], and what has been seen by then."""
        features, labels = inputs.split([self.features, self.labels], -1)
        last, sums, counts = self.initial_state(inputs.shape[1], features) if state is None else state
        carried = (labels > 0).to(features)
        before = torch.cat([last[None], features[:-1]])
        counts = counts + carried.cumsum(0)
        # Added up a step at a time: `cumsum` goes along the steps of one number after the other (docs/log.md).
        _, *added = accumulate((carried[..., None] * before[:, :, None]).unbind(), initial=sums)
        sums = torch.stack(added)
        means = sums / counts.clamp(min=1)[..., None]
        distances = (features[:, :, None] - means).square().sum(-1)
        new = self.newness * self.features
        return -torch.where(counts > 0, distances, new), PrototypesState(features[-1], sums[-1], counts[-1])
