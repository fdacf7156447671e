"""What the algorithmic tasks of Graves et al. 2014 (arXiv 1410.5401, section 4) have in common.

A task shows vectors of bits and a delimiter, then asks for the answer in steps whose input is zero. The sizes of an
episode (length, repeats, items) are drawn anew for every step, uniformly, and shared by all its sequences, so that a
batch needs no padding. A test on longer sequences is the same source with other sizes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from data import InputError
from episodes.randomness import generator_of

AtLeastOne = Annotated[int, Ge(1)]


class TaskEpisode(NamedTuple):
    """A batch of sequences, time first.

    Attributes:
        inputs: float32 [time, batch, input_size].
        targets: float32 [time, batch, answer], 0 where nothing is asked: a bit, 0 or 1, for each output; or numbers.
        mask: bool [time, batch], true where the answer counts.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor


class Task(ABC):
    """A task: a frozen dataclass whose fields are the sizes of its episodes."""

    # Sizes read from a file are of their type and in their range, and there are no others.
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True}

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Numbers that the network sees at a step."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Numbers that it answers with at a step."""

    @property
    def parts(self) -> Mapping[str, slice]:
        """The channels of the answers that mean something of their own, by name; empty where all mean the same."""
        return {}

    def references(self, episode: TaskEpisode) -> dict[str, Tensor]:
        """Return what the answers of known estimators cost for the same sequences, by name: [batch]."""
        return {}

    @abstractmethod
    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""


@dataclass(frozen=True)
class TaskEpisodes:
    """Episodes of a task; `source(step)` is a pure function of (seed, step).

    Attributes:
        task: What to draw.
        batch: Sequences in an episode, at least 1.
        seed: Any number >= 0.
        device: Where episodes are drawn.

    Raises:
        InputError: the batch is empty.
    """

    task: Task
    batch: int = 16
    seed: int = 0
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        """Check that there is something to draw."""
        refuse_below(1, batch=self.batch)

    def __call__(self, step: int) -> TaskEpisode:
        """Return the episodes of one step, step >= 0."""
        return self.task.draw(self.batch, generator_of(self.seed, step, self.device))


def refuse_below(least: int, **sizes: int) -> None:
    """Check that all sizes are at least `least`.

    Raises:
        InputError: names the first that is not.
    """
    for name, size in sizes.items():
        if size < least:
            raise InputError(f"{name} is {size}: use {least} or more")


def refuse_empty_range(**ends: int) -> None:
    """Check that the first of two sizes is not above the second.

    Raises:
        InputError: it is.
    """
    (low_name, low), (high_name, high) = ends.items()
    if low > high:
        raise InputError(
            f"{low_name} is {low} and {high_name} only {high}: "
            f"lower {low_name} to {high} or less, or raise {high_name} to {low} or more"
        )


def draw_size(low: int, high: int, generator: torch.Generator) -> int:
    """Draw a number of low .. high, all equally likely."""
    return int(torch.randint(low, high + 1, (), generator=generator, device=generator.device))


def draw_bits(*shape: int, generator: torch.Generator) -> Tensor:
    """Draw float32 zeros and ones, equally likely, of a shape."""
    return torch.randint(2, shape, generator=generator, device=generator.device).float()


def question_and_answer(question: Tensor, answer: Tensor) -> TaskEpisode:
    """Show the question, then ask for the answer while nothing is shown.

    question: float32 [steps, batch, input_size]; answer: float32 [steps, batch, output_size].
    """
    batch = question.shape[1]
    asked = torch.arange(len(question) + len(answer), device=question.device) >= len(question)
    return TaskEpisode(
        inputs=functional.pad(question, (0, 0, 0, 0, 0, len(answer))),
        targets=functional.pad(answer, (0, 0, 0, 0, len(question), 0)),
        mask=asked[:, None].repeat(1, batch),
    )
