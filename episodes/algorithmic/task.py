"""The base class of the algorithmic tasks, and episodes of a task.

A task presents vectors of bits and a delimiter, then expects the answer in steps whose input is zero. The sizes of an
episode (length, repeats, items) are drawn anew for every step, uniformly, and shared by all its sequences, so that a
batch needs no padding. To test on longer sequences, make the same task with other sizes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from data import InputError
from data.checking import Checked
from episodes.randomness import generator_of

AnswerKind = Literal["bits", "numbers", "tokens"]
"""Answers are several bits, a real number, or one of several tokens at each step."""


class TaskEpisode(NamedTuple):
    """A batch of sequences, time first.

    Attributes:
        inputs: float32 [time, batch, input_size].
        targets: float32 [time, batch, answer], 0 where no answer is expected. For bits and tokens, answer is
            output_size and each number is 0 or 1, with a single 1 for a token; for numbers, answer is 1.
        mask: bool [time, batch], true where the answer counts.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor


class Task(Checked, ABC):
    """A task: a frozen dataclass whose fields are the sizes of its episodes, and `name`."""

    answer_kind: ClassVar[AnswerKind] = "bits"
    """The kind of the answers."""

    # Not `str`: a subclass could not narrow a mutable attribute to a literal.
    name: Any
    """The name of the task, a string: the last field of each task, a `Literal` of that one name."""

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Number of inputs of the network at each step."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Number of outputs of the network at each step."""

    @property
    def parts(self) -> Mapping[str, slice]:
        """Groups of output channels with different meanings, by name; empty where all channels mean the same."""
        return {}

    def references(self, episode: TaskEpisode) -> dict[str, Tensor]:
        """Return the costs of known estimators on the same sequences, by name: [batch] each."""
        return {}

    @abstractmethod
    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""


@dataclass(frozen=True)
class TaskEpisodes:
    """Episodes of a task; `source(step)` is a pure function of (seed, step).

    >>> from episodes import Copy
    >>> source = TaskEpisodes(Copy(bits=8, longest=5), batch=16, seed=1)
    >>> inputs, targets, mask = source(0)
    >>> inputs.shape[1:], targets.shape[1:]
    (torch.Size([16, 9]), torch.Size([16, 8]))
    >>> bool((source(0).inputs == inputs).all())
    True

    Attributes:
        task: The task, with its sizes.
        batch: Sequences in an episode, at least 1.
        seed: Any integer >= 0.
        device: Device on which episodes are drawn.

    Raises:
        InputError: The batch is empty.
    """

    task: Task
    batch: int = 16
    seed: int = 0
    device: torch.device = torch.device("cpu")

    def __post_init__(self) -> None:
        """Check the size of the batch."""
        if self.batch < 1:
            raise InputError(f"`batch` is {self.batch}: use 1 or more")

    def __call__(self, step: int) -> TaskEpisode:
        """Return the episodes of one step, step >= 0."""
        return self.task.draw(self.batch, generator_of(self.seed, step, self.device))


def refuse_empty_range(**ends: int) -> None:
    """Check that the first of two sizes is not above the second.

    Raises:
        InputError: It is.
    """
    (low_name, low), (high_name, high) = ends.items()
    if low > high:
        raise InputError(
            f"`{low_name}` is {low} and `{high_name}` only {high}: "
            f"lower `{low_name}` to {high} or less, or raise `{high_name}` to {low} or more"
        )


def draw_size(low: int, high: int, generator: torch.Generator) -> int:
    """Draw an integer from low .. high, all equally likely."""
    return int(torch.randint(low, high + 1, (), generator=generator, device=generator.device))


def draw_bits(*shape: int, generator: torch.Generator) -> Tensor:
    """Draw float32 zeros and ones of the given shape, equally likely."""
    return torch.randint(2, shape, generator=generator, device=generator.device).float()


def question_and_answer(question: Tensor, answer: Tensor) -> TaskEpisode:
    """Return episodes that present the question, then expect the answer while the input is zero.

    question: float32 [steps, batch, input_size]; answer: float32 [steps, batch, output_size].
    """
    batch = question.shape[1]
    answered = torch.arange(len(question) + len(answer), device=question.device) >= len(question)
    return TaskEpisode(
        inputs=functional.pad(question, (0, 0, 0, 0, 0, len(answer))),
        targets=functional.pad(answer, (0, 0, 0, 0, len(question), 0)),
        mask=answered[:, None].repeat(1, batch),
    )
