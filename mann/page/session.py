"""The drawings shown so far, what the network answered before it was told their names, and what its memory did.

A drawing is shown together with the name of the one before, as in training. So its own name has no part in the answer:
it reaches the network with the next drawing.
"""

import itertools
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from data import InputError
from episodes.labels import encode
from mann.estimator.one_shot import load_pretrained, log_probabilities, own_names
from mann.models.classifier import Classifier, episode_labels
from mann.models.network import Access, MemoryNetwork
from mann.page.deck import Card, Deck, dealt
from mann.page.pen import Strokes, image_of
from mann.reporting.access_plot import BOUND, Traffic, Usage, by_first_write, traffic, usage_of
from mann.settings.schema import Config

MOST_DRAWINGS = 200


class Answer(NamedTuple):
    """What the network said to a drawing.

    Attributes:
        probabilities: Of the names known so far, in the order in which they came.
        new: That it is called by none of them; all together are 1.
    """

    probabilities: tuple[float, ...]
    new: float

    @property
    def best(self) -> int | None:
        """The most probable of the names, counted from 0; None: it is something new."""
        if not self.probabilities or self.new > max(self.probabilities):
            return None
        return int(numpy.argmax(self.probabilities))


class Shown(NamedTuple):
    """A drawing that was shown to the network.

    Attributes:
        image: uint8 [size, size], ink 255 on 0.
        strokes: The way of the pen, where it is known.
        truth: What the drawing is called, where that is known before somebody says so.
        origin: The hand that it was dealt from and its character there, if it was.
        answer: What the network said to it.
        access: What it did with its memory, [1, 1, ...].
        state: What it is left with.
    """

    image: numpy.ndarray
    strokes: Strokes | None
    truth: str | None
    origin: tuple[int, int] | None
    answer: Answer
    access: Access
    state: Any


class Moment(NamedTuple):
    """Where things stand; never changed, so that any earlier moment can be returned to.

    Attributes:
        names: Those known so far, in the order in which they came.
        drawings: Those that have a name.
        called: The name of each, counted from 0.
        state: The network's, after the last of them.
        previous: [1, 1, characters * symbols], the name that will be shown with the next one.
        pending: The drawing that has no name yet.
    """

    names: tuple[str, ...]
    drawings: tuple[Shown, ...]
    called: tuple[int, ...]
    state: Any
    previous: Tensor
    pending: Shown | None


@dataclass(frozen=True)
class Learner:
    """A trained network and its own names for classes; every method returns a new moment."""

    model: str
    config: Config
    network: Classifier
    names: Tensor

    @classmethod
    def of(cls, model: str | Path) -> "Learner":
        """Return the learner with pretrained weights, or with those of a run.

        Raises:
            InputError: there are none, or the network has no memory.
        """
        config, network = load_pretrained(model)
        if not isinstance(network.network, MemoryNetwork):
            raise InputError(f"{model} is a network without memory, and the page shows what memory does: name another")
        # As in OneShotClassifier, whose answers these are.
        return cls(str(model), config, network.double(), own_names(config, 0))

    def blank(self) -> Moment:
        """Return the moment before the first drawing."""
        symbols = episode_labels(self.config).symbols
        previous = torch.zeros_like(encode(self.names[:1, None], symbols)).double()
        memory = self.network.network
        assert isinstance(memory, MemoryNetwork)
        # With all slots, so that those of different moments can be put side by side.
        return Moment((), (), (), memory.initial_state(1, previous), previous, None)

    def look(
        self,
        moment: Moment,
        image: numpy.ndarray,
        strokes: Strokes | None,
        truth: str | None = None,
        origin: tuple[int, int] | None = None,
    ) -> Moment:
        """Show a drawing, in place of one that has no name yet; see `Shown`.

        Raises:
            InputError: there are too many already.
        """
        if len(moment.drawings) == MOST_DRAWINGS:
            raise InputError(f"{MOST_DRAWINGS} drawings are the most: start again")
        pixels = torch.from_numpy(image).double()[None, None] / 255
        with torch.no_grad():
            logits, state, access = self.network.trace(pixels, moment.previous, moment.state)
        scores = log_probabilities(logits[0], self.names[: len(moment.names)])[0]
        free = len(moment.names) < self.config.classes
        new = max(0.0, 1 - float(scores.exp().sum())) if free else 0.0
        known = scores.softmax(-1) * (1 - new)
        shown = Shown(image, strokes, truth, origin, Answer(tuple(known.tolist()), new), access, state)
        return moment._replace(pending=shown)

    def call(self, moment: Moment, name: str) -> Moment:
        """Say what the drawing is called.

        Raises:
            InputError: there is no drawing, or one name more than the network can tell apart.
        """
        if moment.pending is None:
            raise InputError("there is no drawing to name: draw something first")
        names = moment.names if name in moment.names else (*moment.names, name)
        if len(names) > self.config.classes:
            raise InputError(
                f"{name} would be name {len(names)}, and this network can tell {self.config.classes} apart: "
                "use one of those, or start again"
            )
        number = names.index(name)
        previous = encode(self.names[number][None, None], episode_labels(self.config).symbols).double()
        return Moment(
            names,
            (*moment.drawings, moment.pending),
            (*moment.called, number),
            moment.pending.state,
            previous,
            None,
        )


class Session:
    """What one person does, one thing after the other, each of which can be undone.

    Attributes:
        learner: The network.
        decks: By name, what makes a deck of characters.

    Args:
        learner, decks: As above.
        seed: Decides which characters are dealt; None: others every time.
    """

    def __init__(self, learner: Learner, decks: Mapping[str, Callable[[], Deck]], seed: int | None = 0):
        self.learner = learner
        self.decks = decks
        self._moments = [learner.blank()]
        self._opened: dict[str, Deck] = {}
        self._hand: _Hand | None = None
        self._numbers = itertools.count()
        self._rng = numpy.random.default_rng(seed)

    @property
    def now(self) -> Moment:
        """Where things stand."""
        return self._moments[-1]

    def look(self, strokes: Strokes) -> None:
        """Show a drawing in place of one that has no name yet; without strokes that one is taken away."""
        if strokes:
            image = image_of(strokes, self.learner.config.size)
            self._moments[-1] = self.learner.look(self.now, image, strokes)
        else:
            self._moments[-1] = self.now._replace(pending=None)

    def call(self, name: str) -> None:
        """Say what the drawing is called.

        Raises:
            InputError: as `Learner.call`.
        """
        self._moments.append(self.learner.call(self.now, name))

    def undo(self) -> None:
        """Return to where things stood before the last name was said, or before everything was forgotten.

        Raises:
            InputError: nothing was done yet.
        """
        if len(self._moments) == 1:
            raise InputError("there is nothing to undo")
        self._moments.pop()

    def forget(self) -> None:
        """Start again with a blank memory."""
        if self.now.drawings or self.now.pending:
            self._moments.append(self.learner.blank())
        self._hand = None

    def deal(self, source: str) -> None:
        """Show the next drawing of a hand of characters; after other drawings, start again with a new hand.

        Raises:
            InputError: there is no such deck, or its images cannot be read.
        """
        if source not in self.decks:
            raise InputError(f"there are no characters named {source!r} here: use {' or '.join(self.decks)}")
        if source not in self._opened:
            self._opened[source] = self.decks[source]()
        hand = self._hand
        if hand is None or hand.source != source or any(not hand.dealt(shown) for shown in self.now.drawings):
            self.forget()
            cards = dealt(self._opened[source], self.learner.config.classes, self._rng)
            self._hand = hand = _Hand(next(self._numbers), source, cards)
        card = next(hand.cards)
        origin = (hand.number, card.character)
        truth = self._name_of(origin)
        self._moments[-1] = self.learner.look(self.now, card.image, card.strokes, truth, origin)

    def _name_of(self, origin: tuple[int, int]) -> str | None:
        """Return what a character that was dealt is called: what it was called last, else a name not used yet."""
        now = self.now
        for shown, number in zip(reversed(now.drawings), reversed(now.called), strict=True):
            if shown.origin == origin:
                return now.names[number]
        return self._suggestion() if len(now.names) < self.learner.config.classes else None

    def _suggestion(self) -> str:
        """Return a name not used yet."""
        return next(name for name in map(default_name, itertools.count()) if name not in self.now.names)

    def view(self) -> dict[str, Any]:
        """Return everything that the page shows, as plain data."""
        now = self.now
        return {
            "model": self.learner.model,
            "classes": self.learner.config.classes,
            "slots": self.learner.config.slots,
            "size": self.learner.config.size,
            "sources": list(self.decks),
            "names": now.names,
            "suggestion": self._suggestion(),
            "undo": len(self._moments) > 1,
            "drawings": [
                {**_shown_view(shown), "name": name} for shown, name in zip(now.drawings, now.called, strict=True)
            ],
            "pending": None
            if now.pending is None
            else {**_shown_view(now.pending), "strokes": now.pending.strokes, "truth": now.pending.truth},
            "memory": memory_view(now),
        }


class _Hand(NamedTuple):
    """A few characters that are dealt: of which deck, and drawings of them without end."""

    number: int
    source: str
    cards: Iterator[Card]

    def dealt(self, shown: Shown) -> bool:
        """Tell whether a drawing is from this hand."""
        return shown.origin is not None and shown.origin[0] == self.number


def default_name(number: int) -> str:
    """Return A, B, ..., Z, A1, B1, ... for 0, 1, ..."""
    return chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")


def _shown_view(shown: Shown) -> dict[str, Any]:
    """Return a drawing and its answer as plain data."""
    return {
        "image": b64encode(shown.image.tobytes()).decode(),
        "probabilities": [round(probability, 6) for probability in shown.answer.probabilities],
        "new": round(shown.answer.new, 6),
        "best": shown.answer.best,
    }


def memory_view(moment: Moment) -> dict[str, Any]:
    """Return what memory did with all drawings, that without a name included, for the picture on the page.

    Steps and slots count from 0. `rows` are the slots that were used, in the order of their first write: writes and
    reads by step, with each write the step whose drawing, or whose name, is taken to be written (see
    `mann.reporting.access_plot.plot_binding`), and since when the slot held whose drawing. `reads` are those of the
    last step, the largest first, each with the step whose drawing the slot was holding.
    """
    shown = moment.drawings if moment.pending is None else (*moment.drawings, moment.pending)
    if not shown:
        return {"rows": [], "reads": [], "writes": []}
    access = pytree.tree_map(lambda *steps: torch.cat(steps), *(drawing.access for drawing in shown))
    # Steps in place of classes: what is written belongs to the drawing of this step or of the one before.
    seen = traffic(access, numpy.arange(len(shown)))
    usage = usage_of(access)
    last = len(shown) - 1
    rows = [_row(slot, seen, usage) for slot in by_first_write(seen).tolist()]
    held = {row["slot"]: row["held"][-1]["of"] for row in rows if row["held"]}
    order = numpy.argsort(-seen.reads[last], kind="stable").tolist()
    return {
        "usage": None if usage is None else usage.title,
        "rows": rows,
        "reads": [
            {"slot": slot, "weight": round(float(seen.reads[last, slot]), 4), "of": held.get(slot)}
            for slot in order
            if seen.reads[last, slot] > BOUND
        ],
        "writes": numpy.flatnonzero(seen.writes[last] > BOUND).tolist(),
    }


def _row(slot: int, seen: Traffic, usage: Usage | None) -> dict[str, Any]:
    """Return what happened to a slot."""
    writes, reads, new = seen.writes[:, slot], seen.reads[:, slot], seen.new[:, slot]
    of, again = seen.classes[:, slot].tolist(), seen.again[:, slot]
    written = numpy.flatnonzero(new | again)
    return {
        "slot": slot,
        "usage": None if usage is None else round(float(usage.values[-1, slot]), 4),
        "writes": [
            {"step": step, "weight": round(float(writes[step]), 4), "of": of[step]} for step in written.tolist()
        ],
        "reads": [
            {"step": step, "weight": round(float(reads[step]), 4)} for step in numpy.flatnonzero(reads > BOUND).tolist()
        ],
        # A name that is added to a drawing does not put anything else in its place.
        "held": [
            {"since": step, "of": of[step]} for step in numpy.union1d(written[:1], numpy.flatnonzero(new)).tolist()
        ],
    }
