"""How the classes of an episode are named: labels drawn anew for every episode.

A label is a string of `characters` symbols out of `symbols`; one-hot labels are strings of one.
The network sees a label as that many one-hot vectors side by side, and answers with a softmax for
each; it is right only if every character is (Santoro et al. 2016, section 4.2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

from episodes.randomness import draw_without_replacement


class Labels(Protocol):
    """A way of naming classes."""

    @property
    def characters(self) -> int:
        """Symbols in a label."""
        ...

    @property
    def symbols(self) -> int:
        """Symbols to choose from."""
        ...

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return a label for each class, all different: int64 [batch, classes, characters]."""
        ...


@dataclass(frozen=True)
class OneHot:
    """The numbers 0 .. symbols - 1, given to the classes of an episode in random order."""

    symbols: int
    characters: int = 1

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return int64 [batch, classes, 1]; classes <= symbols."""
        return draw_without_replacement((batch, self.symbols), classes, generator)[..., None]


@dataclass(frozen=True)
class Strings:
    """Strings such as "bdaec": five characters of {a..e} in the paper, 3125 labels."""

    symbols: int = 5
    characters: int = 5

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return int64 [batch, classes, characters]; classes <= symbols ** characters."""
        numbers = draw_without_replacement((batch, self.symbols**self.characters), classes, generator)
        places = self.symbols ** torch.arange(self.characters, device=generator.device)
        return numbers[..., None] // places % self.symbols


LABELS: Mapping[str, Callable[[int], Labels]] = MappingProxyType(
    {"one-hot": OneHot, "strings": lambda classes: Strings()}
)
"""By name, what makes the labels for a number of classes."""


def encode(labels: Tensor, symbols: int) -> Tensor:
    """Return int64 labels [..., characters] as one-hots side by side, float [..., characters * symbols]."""
    return one_hot(labels, symbols).flatten(-2).float()


def one_hot(numbers: Tensor, count: int) -> Tensor:
    """Return int64 numbers [...] in 0 .. count - 1 as bool [..., count].

    Torch's own first looks whether all are in range, which takes time at every step.
    """
    return numbers[..., None] == torch.arange(count, device=numbers.device)
