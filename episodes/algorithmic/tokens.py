"""What the tasks of tokens share: one-hot tokens, and answers on empty tokens.

    step      1 .. length           length + 1 .. length + answers
    input     one token a step      the empty token
    answer    -                     one token a step

Input channels: the tokens, then the empty token. The answers are a choice among tokens, scored by the share that is
right: the measure of Deletang et al. 2022 ("Neural networks and the Chomsky hierarchy", arXiv 2207.02098), who train on
lengths of 1 to 40 and test on 41 to 500.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from data.checking import AtLeastOne
from episodes.algorithmic.task import AnswerKind, Task, TaskEpisode, draw_size, refuse_empty_range


class TokenStrings(NamedTuple):
    """A batch of questions and answers of one length.

    Attributes:
        question: int64 [length, batch], tokens from 0 on.
        answer: int64 [answers, batch], tokens from 0 on.
        counted: bool [answers, batch], the answers that count; None: all.
    """

    question: Tensor
    answer: Tensor
    counted: Tensor | None = None


@dataclass(frozen=True)
class StringTask(Task):
    """A task that answers a string of tokens with another; a length is drawn for each batch.

    Raises:
        InputError: A size is below 1, or `shortest` is above `longest`.
    """

    answer_kind: ClassVar[AnswerKind] = "tokens"
    shortest: AtLeastOne = 1
    """Fewest tokens in a string."""
    longest: AtLeastOne = 40
    """Most tokens in a string."""

    def check(self) -> None:
        """Check that the range of lengths is not empty."""
        refuse_empty_range(shortest=self.shortest, longest=self.longest)

    @property
    @abstractmethod
    def question_tokens(self) -> int:
        """Tokens that a question can have at a step."""

    @property
    def input_size(self) -> int:
        """The tokens of the question and the empty token."""
        return self.question_tokens + 1

    @abstractmethod
    def strings(self, length: int, batch: int, generator: torch.Generator) -> TokenStrings:
        """Return `batch` questions of a length with their answers, drawn on the generator's device."""

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        strings = self.strings(draw_size(self.shortest, self.longest, generator), batch, generator)
        return answered_on_empty_tokens(strings, self.question_tokens, self.output_size)


def draw_tokens(tokens: int, *shape: int, generator: torch.Generator) -> Tensor:
    """Draw int64 tokens 0 .. tokens - 1 of the given shape, equally likely."""
    return torch.randint(tokens, shape, generator=generator, device=generator.device)


def one_hot(tokens: Tensor, size: int) -> Tensor:
    """Return float32 [..., size]."""
    return functional.one_hot(tokens, size).float()


def answered_on_empty_tokens(strings: TokenStrings, question_tokens: int, answer_tokens: int) -> TaskEpisode:
    """Return episodes that present the question, then expect an answer at each of as many empty tokens."""
    question, answer, counted = strings
    counted = torch.ones_like(answer, dtype=torch.bool) if counted is None else counted
    empty = torch.full_like(answer, question_tokens)
    before = (0, 0, len(question), 0)
    targets = one_hot(answer, answer_tokens) * counted.unsqueeze(-1)
    return TaskEpisode(
        inputs=one_hot(torch.cat([question, empty]), question_tokens + 1),
        targets=functional.pad(targets, (0, 0, *before)),
        mask=functional.pad(counted, before),
    )
