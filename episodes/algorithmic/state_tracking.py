"""State tracking: the running product of random elements of a group, at each step.

    input      x_t, any element of the group, one-hot
    answer     x_1 x_2 .. x_t, at each step from the first on

The word problem of Merrill et al. 2024 ("The illusion of state", arXiv 2404.08819): a state of fixed size can follow it
for any length, what a fixed number of attention layers cannot for S5 and A5. Groups: the permutations of five things
(S5, 120 elements), the even ones (A5, 60), addition modulo 60 (Z60), and parity, addition modulo 2 (Beck et al. 2024
train it on 3 to 40 steps and test it on up to 256).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from typing import ClassVar, Literal

import torch
from torch import Tensor

from data.checking import AtLeastOne
from episodes.algorithmic.task import AnswerKind, Task, TaskEpisode, draw_size, refuse_empty_range
from episodes.algorithmic.tokens import draw_tokens, one_hot

Group = Literal["S5", "A5", "Z60", "parity"]


@dataclass(frozen=True)
class StateTracking(Task):
    """Follow a state through a product of many elements.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(StateTracking("parity", shortest=4, longest=4), batch=1)(0)
    >>> inputs[:, 0].argmax(-1).tolist(), targets[:, 0].argmax(-1).tolist(), mask.all().item()
    ([0, 1, 0, 1], [0, 1, 1, 0], True)

    Raises:
        InputError: A size is below 1, or `shortest` is above `longest`.
    """

    answer_kind: ClassVar[AnswerKind] = "tokens"
    group: Group = "S5"
    """The group: S5, A5, Z60 or parity."""
    shortest: AtLeastOne = 3
    """Fewest steps in a sequence."""
    longest: AtLeastOne = 40
    """Most steps in a sequence."""
    name: Literal["state-tracking"] = field(default="state-tracking", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that the range of lengths is not empty."""
        refuse_empty_range(shortest=self.shortest, longest=self.longest)

    @property
    def input_size(self) -> int:
        """The elements of the group."""
        return len(products(self.group))

    @property
    def output_size(self) -> int:
        """The elements of the group."""
        return self.input_size

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        table = products(self.group).to(generator.device)
        elements = draw_tokens(
            len(table), draw_size(self.shortest, self.longest, generator), batch, generator=generator
        )
        states = [elements[0]]
        for element in elements[1:]:
            states.append(table[states[-1], element])
        return TaskEpisode(
            inputs=one_hot(elements, len(table)),
            targets=one_hot(torch.stack(states), len(table)),
            mask=torch.ones_like(elements, dtype=torch.bool),
        )


@cache
def products(group: Group) -> Tensor:
    """Return the products of a group, int64 [elements, elements]: row a, column b holds a b; element 0 is the unit.

    A product of permutations applies the left one last: (a b)(i) = a(b(i)).

    >>> products("parity").tolist()
    [[0, 1], [1, 0]]
    """
    return torch.tensor(_TABLES[group]())


def _cyclic(size: int) -> list[list[int]]:
    """Return the sums modulo `size`."""
    return [[(one + other) % size for other in range(size)] for one in range(size)]


def _symmetric(even: bool) -> list[list[int]]:
    """Return the products of the permutations of five things, or of the even ones."""
    elements = [one for one in permutations(range(5)) if not even or _swaps(one) % 2 == 0]
    place = {element: number for number, element in enumerate(elements)}
    return [[place[tuple(one[i] for i in other)] for other in elements] for one in elements]


def _swaps(permutation: tuple[int, ...]) -> int:
    """Return how many pairs stand in falling order."""
    return sum(a > b for place, a in enumerate(permutation) for b in permutation[place + 1 :])


_TABLES: dict[Group, Callable[[], list[list[int]]]] = {
    "S5": lambda: _symmetric(even=False),
    "A5": lambda: _symmetric(even=True),
    "Z60": lambda: _cyclic(60),
    "parity": lambda: _cyclic(2),
}
