"""Label-offset classification episodes (Santoro et al. 2016, section 2).

At step t the network sees image x_t and the label of the image before, y_{t-1} (none at the first step), and is asked
for y_t. Which class carries which label is drawn anew for every sequence, so that it can only be learned within it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from data import ImageClasses, InputError
from episodes.jitter import Jitter, shares_of_ink
from episodes.labels import Labels, encode, one_hot
from episodes.randomness import draw_without_replacement, generator_of


class Episode(NamedTuple):
    """A batch of sequences, time first.

    Attributes:
        images: float32 [time, batch, height, width] in [0, 1], ink 1.
        previous: float32 [time, batch, characters * symbols], the encoded label of the image before; 0 at first.
        targets: int64 [time, batch, characters].
        presentation: int64 [time, batch], 1 when a class is seen for the first time in its sequence, then 2, 3, ...
        classes: int64 [time, batch], rows of the `ImageClasses` (of a taskset: the labels in the task).
    """

    images: Tensor
    previous: Tensor
    targets: Tensor
    presentation: Tensor
    classes: Tensor


@dataclass(frozen=True)
class ClassificationEpisodes:
    """Episodes of `classes` classes; `source(step)` is a pure function of (seed, step).

    Attributes:
        images: The classes to draw from; each sequence of a batch draws its own, without replacement.
        labels: How the classes are named.
        classes: Classes in a sequence.
        presentations: Drawings of each class in a sequence (on average, where `counting` is "random").
        counting: "exact": every class is shown `presentations` times; "random": `classes * presentations` drawings
            are drawn from all those of the classes, so that a class may be shown more or fewer times.
        alphabets: "all": classes are drawn from all; "one": each sequence draws an alphabet that has enough of them,
            any as likely as the others, and its classes from that one.
        length: Steps after which a sequence ends, at most `classes * presentations`; None: so many.
        batch: Sequences in an episode.
        seed: Any number >= 0.
        jitter: Rotation and translation of every drawing, or None.

    Raises:
        InputError: there are fewer classes, drawings or labels than a sequence needs.
    """

    images: ImageClasses
    labels: Labels
    classes: int = 5
    presentations: int = 10
    counting: Literal["exact", "random"] = "exact"
    alphabets: Literal["all", "one"] = "all"
    length: int | None = None
    batch: int = 16
    seed: int = 0
    jitter: Jitter | None = None

    def __post_init__(self) -> None:
        """Check that the sequences asked for can be drawn."""
        available = len(self.images.names)
        if self.classes > available:
            raise InputError(
                f"{self.classes} classes asked for in an episode, but only {available} to draw from: lower --classes"
            )
        refuse_few_labels(self.labels, self.classes)
        if self.alphabets == "one" and not len(self._members):
            most = int(self.images.alphabets.bincount().max())
            raise InputError(
                f"{self.classes} classes of one alphabet asked for in an episode, but none has more than {most} to "
                "draw from: lower --classes"
            )
        if self.time > self.classes * self.presentations:
            raise InputError(
                f"{self.time} steps asked for in an episode, but {self.classes} classes with {self.presentations} "
                f"presentations have {self.classes * self.presentations}: lower --length"
            )
        fewest = int(self.images.counts.min())
        if self.presentations > fewest:
            name = self.images.names[int(self.images.counts.argmin())]
            raise InputError(
                f"{self.presentations} presentations of a class asked for, but class {name!r} has {fewest} "
                f"drawings: lower --presentations to {fewest} or add drawings"
            )

    @property
    def time(self) -> int:
        """Steps in a sequence."""
        return self.length or self.classes * self.presentations

    @cached_property
    def _members(self) -> Tensor:
        """Which classes the alphabets have that have enough of them: bool [alphabet, class]."""
        of = self.images.alphabets
        members = of == torch.arange(int(of.max()) + 1, device=of.device)[:, None]
        return members[members.sum(1) >= self.classes]

    @cached_property
    def _complete(self) -> bool:
        """Whether every class has as many drawings as any other."""
        return bool((self.images.counts == self.images.images.shape[1]).all())

    def _allowed(self, generator: torch.Generator) -> Tensor | None:
        """Return which classes each sequence may draw from, bool [batch, class]; None: from all."""
        if self.alphabets == "all":
            return None
        alphabets = len(self._members)
        return self._members[torch.randint(alphabets, (self.batch,), generator=generator, device=generator.device)]

    def __call__(self, step: int) -> Episode:
        """Return the episodes of one step, step >= 0."""
        device = self.images.images.device
        generator = generator_of(self.seed, step, device)
        allowed = self._allowed(generator)
        chosen = draw_without_replacement((self.batch, len(self.images.names)), self.classes, generator, allowed)
        names = self.labels.draw(self.batch, self.classes, generator)
        which, drawing = self._order(chosen, generator)
        classes = chosen.gather(1, which)
        samples, height, width = self.images.images.shape[1:]
        places = (classes * samples + drawing).T.flatten()
        drawings = self.images.images.flatten(0, 1)
        images = self.jitter(drawings, places, generator) if self.jitter else shares_of_ink(drawings, places)
        images = images.view(self.time, self.batch, height, width)
        return label_offset(images, which, names, classes, self.labels.symbols)

    def _order(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw which class (0 .. classes - 1) and which of its drawings each step shows, [batch, time] each."""
        samples = self.images.images.shape[1]
        if self.counting == "random":
            picked = self._draw_drawings(chosen, (self.batch, self.classes * samples), self.time, generator)
            return picked // samples, picked % samples
        each = (self.batch, self.classes, samples)
        drawing = self._draw_drawings(chosen, each, self.presentations, generator).flatten(1)
        shuffled = draw_without_replacement(drawing.shape, self.time, generator)
        return shuffled // self.presentations, drawing.gather(1, shuffled)

    def _draw_drawings(self, chosen: Tensor, shape: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` of those drawings that the chosen classes have, [batch, class, drawing] seen as `shape`."""
        allowed = None
        if not self._complete:
            numbers = torch.arange(self.images.images.shape[1], device=chosen.device)
            allowed = (numbers < self.images.counts[chosen][..., None]).view(*shape)
        return draw_without_replacement(shape, count, generator, allowed)


def refuse_few_labels(labels: Labels, classes: int) -> None:
    """Check that there is a label for each class.

    Raises:
        InputError: there is not.
    """
    available = labels.symbols**labels.characters
    if classes > available:
        raise InputError(f"{classes} classes cannot be told apart by {available} labels")


def label_offset(images: Tensor, which: Tensor, names: Tensor, classes: Tensor, symbols: int) -> Episode:
    """Return the episodes in which each image comes with the label of the image before.

    Args:
        images: float32 [time, batch, height, width].
        which: int64 [batch, time], which of the classes of its sequence each step shows, from 0.
        names: int64 [batch, classes, characters], their labels.
        classes: int64 [batch, time], the same classes by numbers that mean something outside of the sequence.
        symbols: Symbols that a character of a label can be.
    """
    targets = names.gather(1, which[..., None].expand(-1, -1, names.shape[-1])).transpose(0, 1)
    encoded = encode(targets, symbols)
    return Episode(
        images,
        previous=torch.cat([torch.zeros_like(encoded[:1]), encoded[:-1]]),
        targets=targets.contiguous(),
        presentation=presentation_numbers(which.T, names.shape[1]),
        classes=classes.T.contiguous(),
    )


def presentation_numbers(which: Tensor, classes: int) -> Tensor:
    """Count how often each step's class has been shown up to and including that step.

    which: int64 [time, batch] in 0 .. classes - 1; returns int64 [time, batch], >= 1.
    """
    seen = one_hot(which, classes).cumsum(0)
    return seen.gather(2, which[..., None])[..., 0]
