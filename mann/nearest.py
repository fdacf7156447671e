"""Nearest neighbours: a memory of every drawing and its label, with nothing learned (Santoro et al. 2016, "KNN")."""

from typing import NamedTuple

import numpy
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor


class Seen(NamedTuple):
    """Everything that has been shown.

    Attributes:
        images: [time, batch, height, width].
        previous: [time, batch, characters * symbols], the encoded label of the image before.
    """

    images: Tensor
    previous: Tensor


class NearestNeighbour:
    """Gives a drawing the label of the most similar one before, by the distance between their pixels.

    Called like a `mann.classifier.Classifier`, and so measured on the same episodes in the same ways. The first drawing
    of a sequence, which is like nothing yet, gets the first of all labels.

    Args:
        symbols: Symbols that a character of a label can be.
    """

    def __init__(self, symbols: int):
        self.symbols = symbols

    def __call__(self, images: Tensor, previous: Tensor, state: Seen | None = None) -> tuple[Tensor, Seen]:
        """Answer at every step; see `Classifier.forward`. The logits are the label's ones."""
        seen = Seen(images, previous)
        if state is not None:
            seen = Seen(*(torch.cat(parts) for parts in zip(state, seen, strict=True)))
        columns = [_nearest_before(pixels.flatten(1).cpu().numpy(), len(images)) for pixels in seen.images.unbind(1)]
        nearest = torch.from_numpy(numpy.stack(columns, 1)).to(previous.device)
        # A drawing's label comes with the drawing after it; for the first drawing, -1, there are the zeros of step 0.
        labels = seen.previous[nearest + 1, torch.arange(images.shape[1], device=previous.device)]
        return labels.unflatten(-1, (-1, self.symbols)), seen


def _nearest_before(pixels: numpy.ndarray, last: int) -> numpy.ndarray:
    """Return for each of the last drawings which one before it is nearest, int64 [last]; -1 where there is none.

    pixels: [drawings, pixels].
    """
    count = len(pixels)
    neighbours = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(pixels)
    order = neighbours.kneighbors(pixels[count - last :], return_distance=False)
    before = order < numpy.arange(count - last, count)[:, None]
    nearest = numpy.take_along_axis(order, before.argmax(1)[:, None], 1)[:, 0]
    return numpy.where(before.any(1), nearest, -1)
