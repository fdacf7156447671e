"""Nearest neighbours: a memory of every drawing and its label, with nothing learned (Santoro et al. 2016, "KNN").

What is near, the encoder decides: of raw pixels, or of the features of an autoencoder.
"""

from typing import NamedTuple

import numpy
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn


class Seen(NamedTuple):
    """Everything that has been shown.

    Attributes:
        features: [batch, time, features].
        before: [batch, time, output_size], the encoded label of the drawing before.
    """

    features: Tensor
    before: Tensor


class NearestNeighbour(nn.Module):
    """Gives a drawing the label of the most similar one before, by their distance; used like `torch.nn.LSTM`.

    The first drawing of a sequence, which is like nothing yet, gets the first of all labels.

    Args:
        input_size: Width of an input: features, and then the encoded label of the drawing before, of any magnitude.
        output_size: Width of an output, that of a label.
    """

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.widths = [input_size - output_size, output_size]

    def initial_state(self, batch: int, like: Tensor) -> Seen:
        """Return the state before the first step, with the dtype and device of `like`."""
        return Seen(*(like.new_zeros(batch, 0, width) for width in self.widths))

    def forward(self, inputs: Tensor, state: Seen | None = None) -> tuple[Tensor, Seen]:
        """[time, batch, input_size] -> [time, batch, output_size], the label's ones; and what has been seen by then."""
        shown = inputs.detach().transpose(0, 1)
        before = self.initial_state(len(shown), shown) if state is None else state
        seen = Seen(*(torch.cat(parts, 1) for parts in zip(before, shown.split(self.widths, -1), strict=True)))
        rows = [_nearest_before(features.cpu().numpy(), len(inputs)) for features in seen.features]
        nearest = torch.from_numpy(numpy.stack(rows)).to(inputs.device)
        # A drawing's label comes with the drawing after it; for the first drawing, -1, there are the zeros of step 0.
        labels = seen.before[torch.arange(len(shown), device=inputs.device)[:, None], nearest + 1]
        return labels.transpose(0, 1), seen


def _nearest_before(features: numpy.ndarray, last: int) -> numpy.ndarray:
    """Return for each of the last drawings which one before it is nearest, int64 [last]; -1 where there is none.

    features: [drawings, features].
    """
    count = len(features)
    neighbours = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    order = neighbours.kneighbors(features[count - last :], return_distance=False)
    before = order < numpy.arange(count - last, count)[:, None]
    nearest = numpy.take_along_axis(order, before.argmax(1)[:, None], 1)[:, 0]
    return numpy.where(before.any(1), nearest, -1)
