"""Characters for those who will not draw: the built-in strokes, or Omniglot where its images are."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy

from data import load, read_split
from data.strokes import CANVAS, drawn_curves
from mann.page.pen import Strokes, image_of


class Card(NamedTuple):
    """A drawing and the character that it is of.

    Attributes:
        character: From 0, in the order in which the characters of the hand came.
        image: uint8 [size, size], ink 255 on 0.
        strokes: The way of the pen, where it is known.
    """

    character: int
    image: numpy.ndarray
    strokes: Strokes | None


class Deck(Protocol):
    """A set of characters that no network was trained on."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def drawings(self, character: int) -> list[tuple[numpy.ndarray, Strokes | None]]:
        """Return the drawings of one of them, each an image and the way of the pen, where that is known."""
        ...


class StrokesDeck:
    """The built-in characters of the test split, drawn when they are asked for."""

    def __init__(self, size: int):
        self.size = size
        self.names = read_split("strokes").test

    def __len__(self) -> int:
        """See `Deck`."""
        return len(self.names)

    def drawings(self, character: int) -> list[tuple[numpy.ndarray, Strokes | None]]:
        """See `Deck`."""
        curves = (drawn_curves(int(self.names[character].removeprefix("stroke"))) / CANVAS).clip(0, 1).round(4)
        ways: list[Strokes] = [[[tuple(point) for point in piece] for piece in drawing] for drawing in curves.tolist()]
        return [(image_of(way, self.size), way) for way in ways]


class OmniglotDeck:
    """Omniglot's test characters; root: see `data.load_omniglot`."""

    def __init__(self, size: int, root: Path | None):
        images, split = load("omniglot", root, size, None)
        self.images = images.select(split.test)

    def __len__(self) -> int:
        """See `Deck`."""
        return len(self.images.names)

    def drawings(self, character: int) -> list[tuple[numpy.ndarray, Strokes | None]]:
        """See `Deck`."""
        return [(image.numpy(), None) for image in self.images.images[character]]


def dealt(deck: Deck, characters: int, rng: numpy.random.Generator) -> Iterator[Card]:
    """Yield drawings of a few characters of a deck, round after round, every character once in each round."""
    chosen = rng.choice(len(deck), characters, replace=False)
    piles = [deck.drawings(int(character)) for character in chosen]
    orders = [rng.permutation(len(pile)) for pile in piles]
    number = 0
    while True:
        # The first round says in which order the characters are counted.
        for character in rng.permutation(characters) if number else range(characters):
            pile = piles[character]
            yield Card(int(character), *pile[orders[character][number % len(pile)]])
        number += 1
