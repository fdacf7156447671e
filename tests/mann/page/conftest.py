"""A pretrained learner, a session with it, and its page on a server."""

from collections.abc import Iterator

import numpy
import pytest

from mann.page.deck import StrokesDeck
from mann.page.learner import Learner
from mann.page.pen import Strokes
from mann.page.session import Session
from tests.mann.page.serving import Site, serve


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner.load("omniglot-5")


@pytest.fixture(scope="module")
def drawings() -> list[list[tuple[numpy.ndarray, Strokes | None]]]:
    """Return the drawings of five of the built-in characters."""
    deck = StrokesDeck(20)
    return [deck.drawings(character) for character in range(5)]


@pytest.fixture
def session(learner: Learner) -> Session:
    return Session(learner, {"strokes": lambda: StrokesDeck(20)})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve() as found:
        yield found
