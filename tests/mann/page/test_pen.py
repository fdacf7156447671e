"""Pen strokes rendered as images."""

import numpy
import pytest

from data.strokes import CANVAS, drawn_curves, render
from mann import OneShotClassifier
from mann.page.pen import EXTENT, PEN, image_of


def test_a_drawing_is_centred_and_scaled_and_the_pen_keeps_its_width() -> None:
    """A line at any place and of any size, compared with the same line rendered in the middle of the canvas."""
    start, end = CANVAS / 2 - EXTENT / 2, CANVAS / 2 + EXTENT / 2
    curve = numpy.array([[[[start, CANVAS / 2], [end, CANVAS / 2]]]])
    expected = render(curve, 20, numpy.array([PEN]))[0].astype(int)
    for left, width, y in ((0.0, 1.0, 0.1), (0.7, 0.25, 0.9)):
        line = [(left, y), (left + width / 3, y), (left + width, y)]
        assert abs(image_of([line], 20) - expected).max() <= 12  # the dots of the pen are at other places


def test_strokes_are_not_joined_and_a_dot_stays_a_dot() -> None:
    image = image_of([[(0.2, 0.2), (0.2, 0.8)], [(0.8, 0.2), (0.8, 0.8)]], 20)
    assert (image[:, 9:11] == 0).all() and image[10].max() > 100
    dot = image_of([[(0.1, 0.9)]], 105)
    assert numpy.argwhere(dot).mean(0) == pytest.approx([52, 52], abs=0.6)
    assert numpy.sqrt((dot > 0).sum() / numpy.pi) == pytest.approx(PEN / 2, rel=0.15)


def test_drawings_of_the_page_are_classified_as_well_as_images_of_the_data_set() -> None:
    """Also where the drawings are small and in a corner of the drawing area."""

    def accuracy(images: list[numpy.ndarray]) -> float:
        right = []
        for first in range(0, len(images), 5):
            hand = numpy.stack(images[first : first + 5])  # [character, drawing, side, side]
            classifier = OneShotClassifier().fit(hand[:, 0], range(5))
            right.append(classifier.score(hand[:, 1:6].reshape(-1, 20, 20), numpy.arange(5).repeat(5)))
        return float(numpy.mean(right))

    curves = [drawn_curves(index)[:6] for index in range(60)]
    small = [(drawn / CANVAS * 0.3 + 0.02).tolist() for drawn in curves]
    expected = accuracy([render(drawn, 20, numpy.full(6, PEN)) for drawn in curves])
    found = accuracy([numpy.stack([image_of(strokes, 20) for strokes in character]) for character in small])
    assert found > expected - 0.03
