"""Nearest neighbours: a memory of every image and its label, without parameters (Santoro et al. 2016, "KNN").

Distances are taken between features: raw pixels, or those of an autoencoder, as the encoder is.
"""

from typing import NamedTuple

import numpy
import torch
from torch import Tensor, nn


class NearestState(NamedTuple):
    """All inputs so far.

    Attributes:
        features: [batch, time, features].
        previous: [batch, time, output_size], the encoded label of the previous image.
    """

    features: Tensor
    previous: Tensor


class NearestNeighbour(nn.Module):
    """Answers with the label of the nearest earlier image of the sequence; used like `torch.nn.LSTM`.

    The first image of a sequence, which has no earlier one, gets the first of all labels.

    >>> network = NearestNeighbour(input_size=2 + 3, output_size=3)
    >>> inputs = torch.tensor([[0.0, 0, 0, 0, 0], [9, 9, 0, 1, 0], [0, 1, 0, 0, 1]])[:, None]
    >>> network(inputs)[0][2, 0]  # nearest to the first image, whose label comes with the second
    tensor([0., 1., 0.])

    Args:
        input_size: Width of an input: features, then the encoded label of the previous image, of any magnitude.
        output_size: Width of an output, that of a label.
    """

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.widths = [input_size - output_size, output_size]

    def initial_state(self, batch: int, like: Tensor) -> NearestState:
        """Return the state before the first step, with the dtype and device of `like`."""
        return NearestState(*(like.new_zeros(batch, 0, width) for width in self.widths))

    def forward(self, inputs: Tensor, state: NearestState | None = None) -> tuple[Tensor, NearestState]:
        """[time, batch, input_size] -> [time, batch, output_size], labels as in the inputs; and all inputs so far."""
        presented = inputs.detach().transpose(0, 1)
        before = self.initial_state(len(presented), presented) if state is None else state
        parts = zip(before, presented.split(self.widths, -1), strict=True)
        after = NearestState(*(torch.cat(part, 1) for part in parts))
        rows = [_nearest_before(features.cpu().numpy(), len(inputs)) for features in after.features]
        nearest = torch.from_numpy(numpy.stack(rows)).to(inputs.device)
        # An image's label comes with the next image. Where there is no earlier image, -1 leads to the zeros of step 0.
        labels = after.previous[torch.arange(len(presented), device=inputs.device)[:, None], nearest + 1]
        return labels.transpose(0, 1), after


def _nearest_before(features: numpy.ndarray, last: int) -> numpy.ndarray:
    """Return the index of the nearest earlier image for each of the last images, int64 [last]; -1 where there is none.

    features: [images, features].
    """
    from sklearn.neighbors import NearestNeighbors  # here, since it takes a second to import

    count = len(features)
    neighbours = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    order = neighbours.kneighbors(features[count - last :], return_distance=False)
    before = order < numpy.arange(count - last, count)[:, None]
    nearest = numpy.take_along_axis(order, before.argmax(1)[:, None], 1)[:, 0]
    return numpy.where(before.any(1), nearest, -1)
