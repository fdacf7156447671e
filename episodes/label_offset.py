"""Label-offset classification episodes (Santoro et al. 2016, section 2).

At step t the input is the image x_t and the label of the preceding image, y_{t-1} (none at the first step), and the
target is y_t. Labels are assigned to the classes anew for every sequence, so that they can only be learned within it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from data import ImageClasses, InputError
from episodes.jitter import Jitter, selected_images
from episodes.labels import Labels, encode, one_hot
from episodes.randomness import draw_without_replacement, generator_of


class Episode(NamedTuple):
    """A batch of sequences, time first.

    Attributes:
        images: float32 [time, batch, height, width] in [0, 1], ink 1.
        previous: float32 [time, batch, characters * symbols], the encoded label of the preceding image; 0 at
            the first step.
        targets: int64 [time, batch, characters].
        presentation: int64 [time, batch], 1 at the first image of its class in the sequence, then 2, 3, ...
        classes: int64 [time, batch], indices into the `ImageClasses` (of a taskset: the labels in the task).
    """

    images: Tensor
    previous: Tensor
    targets: Tensor
    presentation: Tensor
    classes: Tensor


@dataclass(frozen=True)
class ClassificationEpisodes:
    """Episodes of `classes` classes; `source(step)` is a pure function of (seed, step).

    >>> pixels = torch.randint(256, (100, 20, 28, 28), dtype=torch.uint8)
    >>> images = ImageClasses(pixels, torch.full((100,), 20), tuple(f"class{number}" for number in range(100)))
    >>> from episodes.labels import OneHot
    >>> source = ClassificationEpisodes(images, OneHot(5), classes=5, presentations=10, batch=16, seed=0)
    >>> episode = source(0)
    >>> episode.images.shape, episode.previous.shape
    (torch.Size([50, 16, 28, 28]), torch.Size([50, 16, 5]))
    >>> sorted(episode.targets[:, 0, 0].bincount().tolist())
    [10, 10, 10, 10, 10]

    Attributes:
        images: The classes to draw from; each sequence of a batch draws its own, without replacement.
        labels: The labelling scheme of the classes.
        classes: Classes in a sequence.
        presentations: Images of each class in a sequence (on average, where `counting` is "random").
        counting: "exact": every class is presented `presentations` times; "random": `classes * presentations` images
            are drawn from all images of the classes, so that a class may be presented more or fewer times.
        alphabets: "all": classes are drawn from all alphabets; "one": each sequence draws one of the alphabets that
            have enough classes, all equally likely, and its classes from that one.
        length: Steps after which a sequence ends, at most `classes * presentations`; None: exactly that many.
        batch: Sequences in an episode.
        seed: Any integer >= 0.
        jitter: Random rotation and translation of every image, or None.

    Raises:
        InputError: There are fewer classes, images or labels than a sequence needs.
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
        """Check that such sequences can be drawn."""
        available = len(self.images.names)
        if self.classes > available:
            raise InputError(
                f"{self.classes} classes asked for in an episode, but only {available} to draw from: lower `classes`"
            )
        check_enough_labels(self.labels, self.classes)
        if self.alphabets == "one" and not len(self._members):
            most = int(self.images.alphabets.bincount().max())
            raise InputError(
                f"{self.classes} classes of one alphabet asked for in an episode, but none has more than {most} to "
                "draw from: lower `classes`"
            )
        if self.time > self.classes * self.presentations:
            raise InputError(
                f"{self.time} steps asked for in an episode, but {self.classes} classes with {self.presentations} "
                f"presentations have {self.classes * self.presentations}: lower `length`"
            )
        fewest = int(self.images.counts.min())
        if self.presentations > fewest:
            name = self.images.names[int(self.images.counts.argmin())]
            raise InputError(
                f"{self.presentations} presentations of a class asked for, but class {name!r} has {fewest} "
                f"images: lower `presentations` to {fewest} or add images"
            )

    @property
    def time(self) -> int:
        """Steps in a sequence."""
        return self.length or self.classes * self.presentations

    @cached_property
    def _members(self) -> Tensor:
        """The classes of each alphabet that has enough of them: bool [alphabet, class]."""
        alphabets = self.images.alphabets
        members = alphabets == torch.arange(int(alphabets.max()) + 1, device=alphabets.device)[:, None]
        return members[members.sum(1) >= self.classes]

    @cached_property
    def _complete(self) -> bool:
        """Whether all classes have the same number of images, so that there is no padding."""
        return bool((self.images.counts == self.images.images.shape[1]).all())

    def _allowed(self, generator: torch.Generator) -> Tensor | None:
        """Return the classes that each sequence may draw, bool [batch, class]; None: all."""
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
        local_classes, sample = self._order(chosen, generator)
        classes = chosen.gather(1, local_classes)
        samples, height, width = self.images.images.shape[1:]
        # Indices into all images as one list, time first, so that the images come out in the order of the episode.
        indices = (classes * samples + sample).T.flatten()
        images = self.images.images.flatten(0, 1)
        images = self.jitter(images, indices, generator) if self.jitter else selected_images(images, indices)
        images = images.view(self.time, self.batch, height, width)
        return label_offset(images, local_classes, names, classes, self.labels.symbols)

    def _order(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw the class (0 .. classes - 1) and the sample that each step presents: [batch, time] each."""
        samples = self.images.images.shape[1]
        if self.counting == "random":
            # All images of the chosen classes in one list, of which any may be drawn.
            drawn = self._draw_samples(chosen, (self.batch, self.classes * samples), self.time, generator)
            return drawn // samples, drawn % samples
        # `presentations` images of every class first, then the order of all of them.
        shape = (self.batch, self.classes, samples)
        sample = self._draw_samples(chosen, shape, self.presentations, generator).flatten(1)
        order = draw_without_replacement(sample.shape, self.time, generator)
        return order // self.presentations, sample.gather(1, order)

    def _draw_samples(self, chosen: Tensor, shape: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` images of the chosen classes without padding, from [batch, class, sample] viewed as `shape`."""
        allowed = None
        if not self._complete:
            numbers = torch.arange(self.images.images.shape[1], device=chosen.device)
            allowed = (numbers < self.images.counts[chosen][..., None]).view(*shape)
        return draw_without_replacement(shape, count, generator, allowed)


def check_enough_labels(labels: Labels, classes: int) -> None:
    """Check that there is a label for each class.

    Raises:
        InputError: There are fewer labels than classes.
    """
    available = labels.symbols**labels.characters
    if classes > available:
        raise InputError(f"{classes} classes cannot be told apart by {available} labels")


def label_offset(images: Tensor, local_classes: Tensor, names: Tensor, classes: Tensor, symbols: int) -> Episode:
    """Return the episodes in which each image comes with the label of the preceding image.

    Args:
        images: float32 [time, batch, height, width].
        local_classes: int64 [batch, time], the class of each step, numbered from 0 within its sequence.
        names: int64 [batch, classes, characters], the labels of these classes.
        classes: int64 [batch, time], the class of each step, numbered as in the data set.
        symbols: Symbols that each character of a label is drawn from.
    """
    targets = names.gather(1, local_classes[..., None].expand(-1, -1, names.shape[-1])).transpose(0, 1)
    encoded = encode(targets, symbols)
    return Episode(
        images,
        previous=torch.cat([torch.zeros_like(encoded[:1]), encoded[:-1]]),
        targets=targets.contiguous(),
        presentation=presentation_numbers(local_classes.T, names.shape[1]),
        classes=classes.T.contiguous(),
    )


def presentation_numbers(local_classes: Tensor, classes: int) -> Tensor:
    """Count how often each step's class has been presented up to and including that step.

    local_classes: int64 [time, batch] in 0 .. classes - 1; returns int64 [time, batch], >= 1.
    """
    counts = one_hot(local_classes, classes).cumsum(0)
    return counts.gather(2, local_classes[..., None])[..., 0]
