"""A pretrained network that learns names of drawings, and the immutable snapshots of a session with it.

As in training, the name of a drawing is an input together with the next drawing. The answer to a drawing is therefore
given before the network receives its name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor

from data import InputError
from episodes.labels import encode
from mann.estimator.one_shot import log_probabilities, own_names
from mann.estimator.pretrained import load_pretrained
from mann.models.baselines.residual import ResidualStack
from mann.models.classifier import Classifier
from mann.models.network import Access, MemoryNetwork
from mann.page.pen import Strokes
from mann.settings import Config

MOST_DRAWINGS = 200
"""The largest number of named drawings in a session."""


class Answer(NamedTuple):
    """The network's answer to a drawing.

    Attributes:
        probabilities: The probabilities of the names so far, in the order in which they were given.
        new: The probability of any other name. All probabilities sum to 1.
    """

    probabilities: tuple[float, ...]
    new: float

    @property
    def best(self) -> int | None:
        """The index of the most probable name; None if a new name is more probable."""
        if not self.probabilities or self.new > max(self.probabilities):
            return None
        return int(numpy.argmax(self.probabilities))


class PresentedDrawing(NamedTuple):
    """A drawing that was presented to the network.

    Attributes:
        image: uint8 [size, size], ink 255 on 0.
        strokes: The pen strokes, where they are known.
        truth: The true name, where it is known before a person gives it.
        origin: The hand of cards that the drawing was dealt from and its character there; None for other drawings.
        answer: The network's answer.
        access: The access to memory, [1, 1, ...]; None where the network has no memory to show.
        state: The network's state after the drawing.
    """

    image: numpy.ndarray
    strokes: Strokes | None
    truth: str | None
    origin: tuple[int, int] | None
    answer: Answer
    access: Access | None
    state: Any


class Snapshot(NamedTuple):
    """The state of a session at one time. Snapshots are immutable, so that a session can return to an earlier one.

    Attributes:
        names: The names so far, in the order in which they were given.
        drawings: The drawings that have a name.
        named: The name of each of them, as an index into `names`.
        state: The network's state after the last of them.
        previous: [1, 1, characters * symbols], the encoded name that is presented with the next drawing.
        pending: The drawing that has no name yet.
    """

    names: tuple[str, ...]
    drawings: tuple[PresentedDrawing, ...]
    named: tuple[int, ...]
    state: Any
    previous: Tensor
    pending: PresentedDrawing | None


@dataclass(frozen=True)
class Learner:
    """A pretrained network that learns step by step. Its methods return new snapshots and change nothing.

    Attributes:
        model: The name of the weights, or the folder of their run.
        config: The settings of the network.
        network: The network, in float64.
        labels: int64 [classes, characters], the labels that stand for names in the network's inputs and outputs.
    """

    model: str
    config: Config
    network: Classifier
    labels: Tensor

    @classmethod
    def load(cls, model: str | Path) -> "Learner":
        """Return a learner with pretrained weights, or with the weights of a run.

        Args:
            model: The name of pretrained weights, or the folder of a run.

        Raises:
            InputError: there are no such weights, or the network has no memory.
        """
        config, network = load_pretrained(model)
        if not isinstance(network.network, MemoryNetwork | ResidualStack):
            raise InputError(f"{model} is a network without memory: choose a `model` with a memory")
        # As in OneShotClassifier, so that the answers agree.
        return cls(str(model), config, network.double(), own_names(config, 0))

    @property
    def memory(self) -> MemoryNetwork | None:
        """The network with the memory that is shown; None where there is none, as in a Transformer."""
        network = self.network.network
        return network if isinstance(network, MemoryNetwork) else None

    def blank(self) -> Snapshot:
        """Return the snapshot before the first drawing."""
        previous = torch.zeros_like(encode(self.labels[:1, None], self.network.symbols)).double()
        # The state of all slots, so that accesses to memory at different steps can be concatenated.
        network = self.network.network
        assert isinstance(network, MemoryNetwork | ResidualStack)
        return Snapshot((), (), (), network.initial_state(1, previous), previous, None)

    def present(
        self,
        snapshot: Snapshot,
        image: numpy.ndarray,
        strokes: Strokes | None,
        truth: str | None = None,
        origin: tuple[int, int] | None = None,
    ) -> Snapshot:
        """Present a drawing to the network, in place of a drawing that has no name yet.

        Args:
            snapshot: The snapshot to start from.
            image: uint8 [size, size], ink 255 on 0.
            strokes: See `PresentedDrawing`, as are the other arguments.
            truth: As above.
            origin: As above.

        Returns:
            The snapshot with the drawing and the network's answer to it.

        Raises:
            InputError: the session has `MOST_DRAWINGS` drawings already.
        """
        if len(snapshot.drawings) == MOST_DRAWINGS:
            raise InputError(f"a session has at most {MOST_DRAWINGS} drawings: start again")
        pixels = torch.from_numpy(image).double()[None, None] / 255
        with torch.no_grad():
            if self.memory is None:
                (logits, state), access = self.network(pixels, snapshot.previous, snapshot.state), None
            else:
                logits, state, access = self.network.trace(pixels, snapshot.previous, snapshot.state)
        scores = log_probabilities(logits[0], self.labels[: len(snapshot.names)])[0]
        has_free_names = len(snapshot.names) < self.config.classes
        new = max(0.0, 1 - float(scores.exp().sum())) if has_free_names else 0.0
        known = scores.softmax(-1) * (1 - new)
        answer = Answer(tuple(known.tolist()), new)
        return snapshot._replace(pending=PresentedDrawing(image, strokes, truth, origin, answer, access, state))

    def name(self, snapshot: Snapshot, name: str) -> Snapshot:
        """Give the pending drawing a name.

        Returns:
            The snapshot in which the drawing is named and none is pending.

        Raises:
            InputError: no drawing is pending, or the network cannot tell so many names apart.
        """
        if snapshot.pending is None:
            raise InputError("there is no drawing to name: draw something first")
        names = snapshot.names if name in snapshot.names else (*snapshot.names, name)
        if len(names) > self.config.classes:
            raise InputError(
                f"{name} would be name {len(names)}, and this network can tell {self.config.classes} apart: "
                "use one of the names so far, or start again"
            )
        number = names.index(name)
        return Snapshot(
            names=names,
            drawings=(*snapshot.drawings, snapshot.pending),
            named=(*snapshot.named, number),
            state=snapshot.pending.state,
            previous=encode(self.labels[number][None, None], self.network.symbols).double(),
            pending=None,
        )
