"""Classifiers that are watched, and planted classes, labels and answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from data import ImageClasses
from mann.models.classifier import Classifier


class Seen(NamedTuple):
    """One call of a classifier."""

    learning: bool
    images: Tensor
    previous: Tensor
    blank: bool


@contextmanager
def watched() -> Iterator[list[Seen]]:
    """Record the calls of all classifiers."""
    seen: list[Seen] = []
    forward = Classifier.forward

    def spy(model: Classifier, images: Tensor, previous: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        seen.append(Seen(torch.is_grad_enabled(), images.clone(), previous.clone(), state is None))
        return forward(model, images, previous, state)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Classifier, "forward", spy)
        yield seen


def numbered(names: tuple[str, ...]) -> ImageClasses:
    """Return classes whose images have their number, also when rotated: two nested squares of grey."""
    number = torch.arange(len(names))
    images = (number // 256).to(torch.uint8)[:, None, None, None].repeat(1, 2, 8, 8)
    images[:, :, 2:6, 2:6] = (number % 256).to(torch.uint8)[:, None, None, None]
    return ImageClasses(images, torch.full((len(names),), 2), names)


def names_in(images: Tensor, names: tuple[str, ...]) -> set[str]:
    """Return the names of the classes of images of `numbered`; images: [..., height, width]."""
    number = (images[..., 0, 0] * 255).round() * 256 + (images[..., 4, 4] * 255).round()
    return {names[int(index)] for index in number.flatten().tolist()}


class Constant:
    """Labels that are always 0, 1, 2, ... written in five characters."""

    symbols = 5
    characters = 5

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return int64 [batch, classes, 5]."""
        labels = torch.zeros(batch, classes, 5, dtype=torch.int64)
        labels[..., 4] = torch.arange(classes)
        return labels


class RightNowAndThen(nn.Module):
    """Answers "aaaab", or "aaaac" where the first pixel is bright, or a label that is nearly right."""

    def forward(self, images: Tensor, previous: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Return logits [time, batch, 5, 5]."""
        answers = torch.zeros(*images.shape[:2], 5, dtype=torch.int64)
        answers[..., 4] = 1 + (images[..., 0, 0] > 0.3).long()
        answers[..., 2] = (images[..., 0, 0] > 0.8).long()
        return nn.functional.one_hot(answers, 5).float(), None
