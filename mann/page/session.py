"""A session: the actions of one person, each of which can be undone."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy

from data import InputError
from mann.page.deck import Card, Deck, deal_cards
from mann.page.learner import Learner, PresentedDrawing, Snapshot
from mann.page.pen import Strokes, image_of


class Session:
    """The actions of one person, one after the other, each of which can be undone.

    Attributes:
        learner: The network.
        decks: By name, functions that open a deck of characters.

    Args:
        learner: As above.
        decks: As above.
        seed: Seed of the choice of the characters that are dealt; None: a random seed.
    """

    def __init__(self, learner: Learner, decks: Mapping[str, Callable[[], Deck]], seed: int | None = 0):
        self.learner = learner
        self.decks = decks
        self._snapshots = [learner.blank()]
        self._opened: dict[str, Deck] = {}
        self._hand: _Hand | None = None
        self._numbers = itertools.count()
        self._rng = numpy.random.default_rng(seed)

    @property
    def now(self) -> Snapshot:
        """The current snapshot."""
        return self._snapshots[-1]

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to undo."""
        return len(self._snapshots) > 1

    @property
    def suggestion(self) -> str:
        """A name that has not been given yet."""
        return next(name for name in map(default_name, itertools.count()) if name not in self.now.names)

    def present(self, strokes: Strokes) -> None:
        """Present a drawing in place of the pending one; without strokes, remove the pending one."""
        if strokes:
            image = image_of(strokes, self.learner.config.size)
            self._snapshots[-1] = self.learner.present(self.now, image, strokes)
        else:
            self._snapshots[-1] = self.now._replace(pending=None)

    def name(self, name: str) -> None:
        """Give the pending drawing a name.

        Raises:
            InputError: see `Learner.name`.
        """
        self._snapshots.append(self.learner.name(self.now, name))

    def undo(self) -> None:
        """Return to the snapshot before the last name was given, or before the memory was cleared.

        Raises:
            InputError: there is nothing to undo.
        """
        if not self.can_undo:
            raise InputError("there is nothing to undo")
        self._snapshots.pop()

    def forget(self) -> None:
        """Start again with a blank memory."""
        if self.now.drawings or self.now.pending:
            self._snapshots.append(self.learner.blank())
        self._hand = None

    def deal(self, source: str) -> None:
        """Present the next card of a hand of characters.

        If the session has drawings that are not from this hand, start again with a new hand.

        Args:
            source: The name of the deck.

        Raises:
            InputError: there is no such deck, or its images cannot be read.
        """
        if source not in self.decks:
            raise InputError(f"there are no characters named {source!r} here: use {' or '.join(self.decks)}")
        if source not in self._opened:
            self._opened[source] = self.decks[source]()
        hand = self._hand
        if hand is None or hand.source != source or any(not hand.dealt(drawing) for drawing in self.now.drawings):
            self.forget()
            cards = deal_cards(self._opened[source], self.learner.config.classes, self._rng)
            self._hand = hand = _Hand(next(self._numbers), source, cards)
        card = next(hand.cards)
        origin = (hand.number, card.character)
        truth = self._true_name(origin)
        self._snapshots[-1] = self.learner.present(self.now, card.image, card.strokes, truth, origin)

    def _true_name(self, origin: tuple[int, int]) -> str | None:
        """Return the last name of a character that was dealt, or a new one; None if no name is left."""
        for drawing, number in zip(reversed(self.now.drawings), reversed(self.now.named), strict=True):
            if drawing.origin == origin:
                return self.now.names[number]
        return self.suggestion if len(self.now.names) < self.learner.config.classes else None


class _Hand(NamedTuple):
    """A few characters of a deck, and an endless iterator of drawings of them."""

    number: int
    source: str
    cards: Iterator[Card]

    def dealt(self, drawing: PresentedDrawing) -> bool:
        """Return whether a drawing is from this hand."""
        return drawing.origin is not None and drawing.origin[0] == self.number


def default_name(number: int) -> str:
    """Return A, B, ..., Z, A1, B1, ... for 0, 1, ..."""
    return chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
