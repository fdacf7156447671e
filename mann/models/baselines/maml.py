"""Model-agnostic meta-learning (Finn, Abbeel, Levine 2017, arXiv 1703.03400), through learn2learn.

    encoder, linear layer      an output for each label, from the initial weights, which are trained
    support set                a few steps of gradient descent on all weights, in each episode from the initial weights
    queries                    answered with the adapted weights

The initial weights are trained on the loss of the queries, through the steps. learn2learn (an optional package) copies
the weights and takes the steps. The knowledge of an episode is in weights, not in a state that is passed from image to
image, so this model is for N-way K-shot classification only. The encoder normalises each image by itself, so that no
answer depends on the other queries.
"""

from importlib import import_module
from types import ModuleType
from typing import Final
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn
from torch.nn import functional

from data import InputError
from episodes.few_shot import FewShot
from mann.models.encoders import ConvEncoder

STEPS: Final = 3
"""Steps of gradient descent on a support set (the paper: 1 in training and 3 afterwards, for 5 ways; 5 for 20)."""
RATE: Final = 0.1
"""Learning rate of these steps (the paper: 0.4 for 5 ways, 0.1 for 20)."""


class MAML(nn.Module):
    """Answers to queries after a few steps of gradient descent on the support set.

    Attributes:
        start: The encoder and a linear layer, with the initial weights of every episode.

    Args:
        encoder: From [images, height, width] to [images, features].
        labels: Number of one-hot labels.

    Raises:
        InputError: learn2learn is not installed.
    """

    def __init__(self, encoder: ConvEncoder, labels: int):
        super().__init__()
        self.start = nn.Sequential(encoder, nn.Linear(encoder.features, labels))
        self._kind = _algorithms().MAML

    @property
    def encoder(self) -> nn.Module:
        """The encoder of the images."""
        return self.start[0]

    def forward(self, cut: FewShot) -> Tensor:
        """Return logits of the queries, [queries, batch, 1, labels]."""
        each = zip(*(images.unbind(1) for images in (cut.support.images, cut.queries.images)), strict=True)
        targets = cut.support.targets.unbind(1)
        return torch.stack([self._answers(*images, *named.T) for images, named in zip(each, targets, strict=True)], 1)

    def _answers(self, support: Tensor, queries: Tensor, targets: Tensor) -> Tensor:
        """Return logits of the queries of a sequence, [queries, 1, labels]."""
        learning = torch.is_grad_enabled()  # otherwise the gradient through the steps is not needed
        with torch.enable_grad():
            learner = self._kind(self.start, RATE, first_order=not learning).clone()
            for _ in range(STEPS):
                learner.adapt(functional.cross_entropy(learner(support), targets))
        return learner(queries)[:, None]


def _algorithms() -> ModuleType:
    """Import learn2learn.

    Raises:
        InputError: it is not installed.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")  # warnings of other projects' code
            return import_module("learn2learn.algorithms")
    except ImportError as error:
        raise InputError("`model=maml` needs learn2learn: install it with requirements-learn2learn.txt") from error
