"""Tasks of other libraries as label-offset episodes: the tasksets of learn2learn, and objects with the same interface.

A task is a pair of tensors, images and their labels, as `learn2learn.vision.benchmarks.get_tasksets` returns them:
every class equally often, in any order and with any numbers as labels. Order and labels are drawn anew, since both may
reveal the class.
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
from episodes.label_offset import Episode, check_enough_labels, label_offset
from episodes.labels import Labels
from episodes.randomness import draw_without_replacement, generator_of


class Taskset(Protocol):
    """Tasks by index; an endless taskset, with `num_tasks` -1 as in learn2learn, draws a new task for any index."""

    def __len__(self) -> int:
        """Number of tasks."""
        ...

    def __getitem__(self, index: int, /) -> Sequence[Tensor]:
        """Return images [image, height, width] or [image, channels, height, width], and labels [image]."""
        ...


@dataclass(frozen=True)
class TasksetEpisodes:
    """Episodes from the tasks of a taskset; `source(step)` is a pure function of (seed, step).

    learn2learn draws a task on its first use, with the global random states of Python, numpy and torch. These are
    seeded for the duration of the draw: from seed and step if the taskset is endless, from the index of the task if it
    is not. A finite taskset keeps its tasks, so no other code may draw from it. Images of several channels are averaged
    over the channels.

    Attributes:
        taskset: The tasks; the tasks of a batch are drawn with replacement.
        labels: The labelling scheme of the classes.
        classes: Classes in a task.
        presentations: Images of each class in a task.
        size: Side of the images in an episode in pixels; others are scaled to it by area averaging.
        batch: Tasks in an episode.
        seed: Any integer >= 0.
        device: Device of the episodes.

    Raises:
        InputError: There are fewer labels than classes; or, when it is drawn, a task has other numbers of classes or
            images than stated here, or pixels outside [0, 1].
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
        check_enough_labels(self.labels, self.classes)

    @property
    def counting(self) -> Literal["exact"]:
        """Every class is presented equally often."""
        return "exact"

    @property
    def time(self) -> int:
        """Steps in a sequence."""
        return self.classes * self.presentations

    def __call__(self, step: int) -> Episode:
        """Return the episodes of one step, step >= 0."""
        generator = generator_of(self.seed, step, torch.device("cpu"))
        tasks = [self._task(generator) for _ in range(self.batch)]
        images, local_classes, classes = (torch.stack(parts).to(self.device) for parts in zip(*tasks, strict=True))
        generator = generator_of(self.seed, step, self.device)
        order = draw_without_replacement((self.batch, self.time), self.time, generator)
        names = self.labels.draw(self.batch, self.classes, generator)
        rows = torch.arange(self.batch, device=self.device)
        return label_offset(
            images[rows, order.T], local_classes.gather(1, order), names, classes.gather(1, order), self.labels.symbols
        )

    def _task(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a task: images [time, size, size], their classes numbered from 0, and their labels in the task."""
        index, drawn = (int(torch.randint(end, (), generator=generator)) for end in (len(self.taskset), 2**32))
        endless = getattr(self.taskset, "num_tasks", None) == -1
        with _random_states(drawn if endless else index):
            images, labels = self.taskset[index]
        _, local_classes, counts = labels.unique(return_inverse=True, return_counts=True)
        if counts.tolist() != [self.presentations] * self.classes:
            raise InputError(
                f"task {index} of the taskset has {sorted(set(counts.tolist()))} images of each of its "
                f"{len(counts)} classes, expected {self.presentations} of {self.classes}"
            )
        return self._prepared(images), local_classes, labels

    def _prepared(self, images: Tensor) -> Tensor:
        """Return the images of a task in the format of an episode: float32 [image, size, size] in [0, 1]."""
        images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        low, high = images.min().item(), images.max().item()
        if low < 0 or high > 1:
            raise InputError(
                f"pixels of the taskset are from {low:g} to {high:g}: give its data set a transform that scales them "
                "to 0 (background) to 1 (ink)"
            )
        grey = images if images.dim() == 3 else images.mean(1)
        return functional.adaptive_avg_pool2d(grey, self.size)


@contextmanager
def _random_states(seed: int) -> Iterator[None]:
    """Seed the global random states (Python, numpy and torch on the CPU), and restore them afterwards."""
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
