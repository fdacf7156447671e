"""Prototypical networks (Snell et al. 2017, arXiv 1703.05175), as a network that runs through a sequence.

    c_k              the mean of the features of the images with label k so far
    -|x - c_k|^2     the logit of label k for an image with features x

Compared with a memory network of the same encoder, it shows the contribution of the memory. Beyond the paper, a
sequence presents images of classes that had no label yet: all labels without an image share one trained logit, so that
an image far from all prototypes is answered with a new label.
"""

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn


class PrototypesState(NamedTuple):
    """The images so far.

    Attributes:
        last: [batch, features], the image whose label comes with the next one.
        sums: [batch, labels, features], the sum over the images of each label.
        counts: [batch, labels], the number of images of each label.
    """

    last: Tensor
    sums: Tensor
    counts: Tensor


class PrototypicalNetwork(nn.Module):
    """Answers with the label of the nearest prototype; used like `torch.nn.LSTM`.

    >>> network = PrototypicalNetwork(input_size=2 + 3, output_size=3)
    >>> inputs = torch.tensor([[0.0, 0, 0, 0, 0], [9, 9, 0, 1, 0], [0.1, 0, 1, 0, 0]])[:, None]
    >>> network(inputs)[0].argmax(-1)[2].item()  # the label of the first image, which came with the second
    1

    Args:
        input_size: Width of an input: features, then the one-hot label of the previous image, of any magnitude.
        output_size: Width of an output, the number of labels.
    """

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.labels = output_size
        self.features = input_size - output_size
        # A squared distance per feature, so that it is learned at the same rate for any number of features.
        self.newness = nn.Parameter(torch.tensor(0.5))

    def initial_state(self, batch: int, like: Tensor) -> PrototypesState:
        """Return the state before the first step, with the dtype and device of `like`."""
        counts = like.new_zeros(batch, self.labels)
        return PrototypesState(
            like.new_zeros(batch, self.features), like.new_zeros(batch, self.labels, self.features), counts
        )

    def forward(self, inputs: Tensor, state: PrototypesState | None = None) -> tuple[Tensor, PrototypesState]:
        """[time, batch, input_size] -> logits [time, batch, output_size], and the state after the last step."""
        features, labels = inputs.split([self.features, self.labels], -1)
        last, sums, counts = self.initial_state(inputs.shape[1], features) if state is None else state
        labelled = (labels > 0).to(features)
        before = torch.cat([last[None], features[:-1]])
        counts = counts + labelled.cumsum(0)
        # One step at a time: `cumsum` along the first dimension runs through memory with a stride (docs/log.md).
        _, *added = accumulate((labelled[..., None] * before[:, :, None]).unbind(), initial=sums)
        sums = torch.stack(added)
        means = sums / counts.clamp(min=1)[..., None]
        distances = (features[:, :, None] - means).square().sum(-1)
        new = self.newness * self.features
        return -torch.where(counts > 0, distances, new), PrototypesState(features[-1], sums[-1], counts[-1])
