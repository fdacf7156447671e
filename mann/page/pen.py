"""From the way of a pen to an image like those that the network was trained on."""

from collections.abc import Sequence

import numpy

from data.strokes import CANVAS, render

Strokes = Sequence[Sequence[tuple[float, float]]]
"""Lines of points (x, y), x to the right and y downwards, the drawing area from 0 to 1."""

PEN = 5.0
"""Width of Omniglot's pen, in pixels of its canvas."""
EXTENT = 64.0
"""The longer side of a drawing, likewise. Half of Omniglot's drawings have between 58 and 76."""
LARGEST_FACTOR = 4.0
"""A dot is not blown up to the size of a character."""


def image_of(strokes: Strokes, size: int) -> numpy.ndarray:
    """Draw strokes in the middle of an image, as large as characters are in Omniglot, with Omniglot's pen.

    The pen is as wide as ever, however small or large the strokes were.

    Args:
        strokes: At least one, none without points.
        size: Side of the image in pixels.

    Returns:
        uint8 [size, size], ink 255 on 0.
    """
    points = CANVAS * numpy.concatenate([numpy.asarray(stroke, float) for stroke in strokes])
    low, high = points.min(0), points.max(0)
    factor = min(EXTENT / max(high - low), LARGEST_FACTOR) if (high > low).any() else 1.0
    placed = (points - (low + high) / 2) * factor + CANVAS / 2
    ends = numpy.cumsum([len(stroke) for stroke in strokes])
    # A piece for each two neighbours of a stroke; its last point is a piece that goes nowhere, a dot.
    following = numpy.minimum(numpy.arange(len(points)) + 1, numpy.repeat(ends, numpy.diff(ends, prepend=0)) - 1)
    pieces = numpy.stack([placed, placed[following]], 1)
    return render(pieces[None], size, numpy.array([PEN]))[0]
