"""Decks of characters drawn by others: the built-in strokes, or Omniglot where its images are available."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy

from data import load, read_split
from data.strokes import CANVAS, drawn_curves
from mann.page.pen import Strokes, image_of


class Card(NamedTuple):
    """A drawing of a character.

    Attributes:
        character: The number of the character within its hand, from 0, in the order of the first round.
        image: uint8 [size, size], ink 255 on 0.
        strokes: The pen strokes, where they are known.
    """

    character: int
    image: numpy.ndarray
    strokes: Strokes | None


class Deck(Protocol):
    """A set of test characters."""

    def __len__(self) -> int:
        """Return the number of characters."""
        ...

    def drawings(self, character: int) -> list[tuple[numpy.ndarray, Strokes | None]]:
        """Return the drawings of a character: images uint8 [size, size], and the pen strokes where they are known."""
        ...


class StrokesDeck:
    """The built-in characters of the test split, rendered on demand at `size` pixels a side."""

    def __init__(self, size: int):
        self.size = size
        self.names = read_split("strokes").test

    def __len__(self) -> int:
        """See `Deck`."""
        return len(self.names)

    def drawings(self, character: int) -> list[tuple[numpy.ndarray, Strokes | None]]:
        """See `Deck`."""
        curves = (drawn_curves(int(self.names[character].removeprefix("stroke"))) / CANVAS).clip(0, 1).round(4)
        strokes: list[Strokes] = [
            [[tuple(point) for point in piece] for piece in drawing] for drawing in curves.tolist()
        ]
        return [(image_of(drawing, self.size), drawing) for drawing in strokes]


class OmniglotDeck:
    """Omniglot's test characters, at `size` pixels a side; root: see `data.load_omniglot`."""

    def __init__(self, size: int, root: Path | None):
        images, split = load("omniglot", root, size, None)
        self.images = images.select(split.test)

    def __len__(self) -> int:
        """See `Deck`."""
        return len(self.images.names)

    def drawings(self, character: int) -> list[tuple[numpy.ndarray, Strokes | None]]:
        """See `Deck`."""
        return [(image.numpy(), None) for image in self.images.images[character]]


def deal_cards(deck: Deck, characters: int, rng: numpy.random.Generator) -> Iterator[Card]:
    """Yield drawings of a few characters of a deck without end, every character once in each round.

    Args:
        deck: The deck.
        characters: The number of characters to choose from it.
        rng: Chooses the characters, and the order of the characters and drawings.
    """
    chosen = rng.choice(len(deck), characters, replace=False)
    piles = [deck.drawings(int(character)) for character in chosen]
    orders = [rng.permutation(len(pile)) for pile in piles]
    round_number = 0
    while True:
        # The first round is in the order in which the characters are numbered.
        for character in rng.permutation(characters) if round_number else range(characters):
            pile = piles[character]
            yield Card(int(character), *pile[orders[character][round_number % len(pile)]])
        round_number += 1
