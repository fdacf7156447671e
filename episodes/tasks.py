"""What the algorithmic tasks of Graves et al. 2014 (arXiv 1410.5401, section 4) have in common.

A task shows vectors of bits and a delimiter, then asks for the answer in steps whose input is zero. The sizes of an
episode (length, repeats, items) are drawn anew for every step, uniformly, and shared by all its sequences, so that a
batch needs no padding. A test on longer sequences is the same source with other sizes.
"""

from typing import Annotated, NamedTuple, Protocol

import torch
from annotated_types import Ge
from pydantic import PlainSerializer, PlainValidator
from torch import Tensor
from torch.nn import functional

from data import InputError


def _device_of(name: str | torch.device) -> torch.device:
    try:
        return torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"there is no device {name!r}: use cpu or cuda") from error


AtLeastOne = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0)]
Device = Annotated[torch.device, PlainValidator(_device_of), PlainSerializer(str)]
"""A device that settings can be checked with, and written to JSON by its name."""


class TaskEpisode(NamedTuple):
    """A batch of sequences, time first.

    Attributes:
        inputs: float32 [time, batch, input_size].
        targets: float32 [time, batch, output_size], 0 or 1; 0 where nothing is asked.
        mask: bool [time, batch], true where the answer counts.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor


class Task(Protocol):
    """A source of episodes; `source(step)` is a pure function of (seed, step)."""

    @property
    def input_size(self) -> int:
        """Numbers that the network sees at a step."""
        ...

    @property
    def output_size(self) -> int:
        """Bits that it is asked for at a step."""
        ...

    @property
    def batch(self) -> int:
        """Sequences in an episode."""
        ...

    @property
    def seed(self) -> int:
        """Any number >= 0."""
        ...

    @property
    def device(self) -> torch.device:
        """Where episodes are drawn."""
        ...

    def __call__(self, step: int) -> TaskEpisode:
        """Return the episodes of one step, step >= 0."""
        ...


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
