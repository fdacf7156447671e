"""Tasks of other libraries as label-offset episodes: the tasksets of learn2learn, and whatever looks like one.

A task is a pair of tensors, drawings and their labels, such as `learn2learn.vision.benchmarks.get_tasksets` makes them:
every class equally often, in any order and with any numbers for labels. Order and labels are drawn anew, since both may
say which class is which.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from data import InputError
from episodes.label_offset import Episode, label_offset, refuse_few_labels
from episodes.labels import Labels
from episodes.randomness import draw_without_replacement, generator_of


class Taskset(Protocol):
    """Tasks by number; an endless one, with `num_tasks` -1 as in learn2learn, draws anew whatever the number."""

    def __len__(self) -> int:
        """Tasks."""
        ...

    def __getitem__(self, index: int, /) -> Sequence[Tensor]:
        """Return drawings [drawing, height, width] or [drawing, channels, height, width], and labels [drawing]."""
        ...


@dataclass(frozen=True)
class TasksetEpisodes:
    """Episodes out of the tasks of a taskset; `source(step)` is a pure function of (seed, step).

    learn2learn draws a task when it is first asked for, with the random states of Python, numpy and torch. They are set
    while it does so, to what depends on seed and step where the taskset is endless, on the task's number where it is
    not; so nothing else may draw from a taskset that has an end. Drawings of several channels become their mean.

    Attributes:
        taskset: The tasks; those of a batch are drawn with replacement.
        labels: How the classes are named.
        classes: Classes of a task.
        presentations: Drawings of each.
        size: Side of the images in an episode; others are brought to it by area averaging.
        batch: Tasks in an episode.
        seed: Any number >= 0.
        device: Where episodes are put.

    Raises:
        InputError: there are fewer labels than classes; and, when it is drawn, a task that is not as said here.
    """

    taskset: Taskset
    labels: Labels
    classes: int = 5
    presentations: int = 10
    size: int = 20
    batch: int = 16
    seed: int = 0
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        """Check that the classes can be told apart."""
        refuse_few_labels(self.labels, self.classes)

    @property
    def counting(self) -> Literal["exact"]:
        """Every class is shown equally often."""
        return "exact"

    @property
    def time(self) -> int:
        """Steps in a sequence."""
        return self.classes * self.presentations

    def __call__(self, step: int) -> Episode:
        """Return the episodes of one step, step >= 0."""
        generator = generator_of(self.seed, step, torch.device("cpu"))
        tasks = [self._task(generator) for _ in range(self.batch)]
        images, which, classes = (torch.stack(parts).to(self.device) for parts in zip(*tasks, strict=True))
        generator = generator_of(self.seed, step, self.device)
        order = draw_without_replacement((self.batch, self.time), self.time, generator)
        names = self.labels.draw(self.batch, self.classes, generator)
        rows = torch.arange(self.batch, device=self.device)
        return label_offset(
            images[rows, order.T], which.gather(1, order), names, classes.gather(1, order), self.labels.symbols
        )

    def _task(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a task: images [time, size, size], which of its classes each shows, and their labels in the task."""
        index, drawn = (int(torch.randint(end, (), generator=generator)) for end in (len(self.taskset), 2**32))
        endless = getattr(self.taskset, "num_tasks", None) == -1
        with _random_states(drawn if endless else index):
            drawings, labels = self.taskset[index]
        _, which, counts = labels.unique(return_inverse=True, return_counts=True)
        if counts.tolist() != [self.presentations] * self.classes:
            raise InputError(
                f"task {index} of the taskset has {sorted(set(counts.tolist()))} drawings of each of its "
                f"{len(counts)} classes, expected {self.presentations} of {self.classes}"
            )
        return self._prepared(drawings), which, labels

    def _prepared(self, drawings: Tensor) -> Tensor:
        """Return drawings of a task as our images are: float32 [drawing, size, size] in [0, 1]."""
        images = drawings.float() / 255 if drawings.dtype == torch.uint8 else drawings.float()
        low, high = images.min().item(), images.max().item()
        if low < 0 or high > 1:
            raise InputError(
                f"pixels of the taskset are from {low:g} to {high:g}: give its data set a transform that brings them "
                "to 0 (background) to 1 (ink)"
            )
        grey = images if images.dim() == 3 else images.mean(1)
        return functional.adaptive_avg_pool2d(grey, self.size)


@contextmanager
def _random_states(seed: int) -> Iterator[None]:
    """Seed what libraries draw from (Python, numpy and torch, on the CPU), and put it back as it was afterwards."""
    python, of_numpy = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(seed)
            numpy.random.seed(seed)
            torch.default_generator.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(of_numpy)
