"""Rendering pen strokes as an image like the images of the training."""

from collections.abc import Sequence

import numpy

from data.strokes import CANVAS, render

Strokes = Sequence[Sequence[tuple[float, float]]]
"""Strokes, each a sequence of points (x, y) in [0, 1]; x to the right, y downwards."""

PEN = 5.0
"""Width of Omniglot's pen, in pixels of its canvas."""
EXTENT = 64.0
"""Length of the longer side of a drawing, in the same pixels. For half of Omniglot's drawings it is 58 to 76."""
LARGEST_FACTOR = 4.0
"""Largest magnification, so that a dot is not enlarged to the size of a character."""


def image_of(strokes: Strokes, size: int) -> numpy.ndarray:
    """Render strokes in the middle of an image, with the size of Omniglot's characters and the width of its pen.

    The width of the pen does not depend on the size of the strokes.

    Args:
        strokes: At least one stroke, each of at least one point.
        size: Side of the image in pixels.

    Returns:
        uint8 [size, size], ink 255 on 0.
    """
    points = CANVAS * numpy.concatenate([numpy.asarray(stroke, float) for stroke in strokes])
    low, high = points.min(0), points.max(0)
    factor = min(EXTENT / max(high - low), LARGEST_FACTOR) if (high > low).any() else 1.0
    placed = (points - (low + high) / 2) * factor + CANVAS / 2
    ends = numpy.cumsum([len(stroke) for stroke in strokes])
    # A piece between each two neighbouring points of a stroke. The last point is a piece from itself to itself, a dot.
    following = numpy.minimum(numpy.arange(len(points)) + 1, numpy.repeat(ends, numpy.diff(ends, prepend=0)) - 1)
    pieces = numpy.stack([placed, placed[following]], 1)
    return render(pieces[None], size, numpy.array([PEN]))[0]
