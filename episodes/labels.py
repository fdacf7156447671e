"""Labels of the classes in an episode, drawn anew for every episode.

A label is a string of `characters` symbols out of `symbols`; one-hot labels are strings of one. The network's input is
the label as that many one-hot vectors side by side, its output a softmax for each; an answer is correct only if every
character is (Santoro et al. 2016, section 4.2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from episodes.randomness import draw_without_replacement


class Labels(Protocol):
    """A labelling scheme: how many labels there are, and how they are drawn."""

    @property
    def characters(self) -> int:
        """Symbols in a label."""
        ...

    @property
    def symbols(self) -> int:
        """Symbols that each character is drawn from."""
        ...

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return a label for each class, all different in a sequence: int64 [batch, classes, characters]."""
        ...


@dataclass(frozen=True)
class OneHot:
    """One-hot labels: the numbers 0 .. symbols - 1, assigned to the classes of an episode in random order.

    >>> labels = OneHot(5).draw(batch=1, classes=5, generator=torch.Generator().manual_seed(0))
    >>> sorted(labels.flatten().tolist())
    [0, 1, 2, 3, 4]
    """

    symbols: int
    characters: int = 1

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return int64 [batch, classes, 1]; classes <= symbols."""
        return draw_without_replacement((batch, self.symbols), classes, generator)[..., None]


@dataclass(frozen=True)
class Strings:
    """String labels such as "bdaec": five characters of {a..e} in the paper, 3125 labels.

    >>> labels = Strings().draw(batch=1, classes=2, generator=torch.Generator().manual_seed(0))
    >>> ["".join("abcde"[symbol] for symbol in label) for label in labels[0]]
    ['edbdc', 'eceac']
    """

    symbols: int = 5
    characters: int = 5

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return int64 [batch, classes, characters]; classes <= symbols ** characters."""
        numbers = draw_without_replacement((batch, self.symbols**self.characters), classes, generator)
        # The digits of the numbers to base `symbols`.
        places = self.symbols ** torch.arange(self.characters, device=generator.device)
        return numbers[..., None] // places % self.symbols


LABELS: Final[Mapping[str, Callable[[int], Labels]]] = {"one-hot": OneHot, "strings": lambda classes: Strings()}
"""The labelling schemes by name: functions of the number of classes."""


def encode(labels: Tensor, symbols: int) -> Tensor:
    """Return int64 labels [..., characters] as one-hot vectors side by side, float [..., characters * symbols]."""
    return one_hot(labels, symbols).flatten(-2).float()


def one_hot(numbers: Tensor, count: int) -> Tensor:
    """Return int64 numbers [...] in 0 .. count - 1 as bool [..., count].

    torch.nn.functional.one_hot first checks the range of its input, which costs time at every step.
    """
    return numbers[..., None] == torch.arange(count, device=numbers.device)
