"""Model-agnostic meta-learning (Finn, Abbeel, Levine 2017, arXiv 1703.03400), through learn2learn.

    encoder, linear layer      an output for each label, from weights that are learned
    support set                a few steps of gradient descent on all weights, for each episode from the same start
    queries                    answered with the weights after them

The start is learned from what the queries cost, through the steps. learn2learn (an optional extra) copies the weights
and takes the steps. What has been learned of an episode lies in weights, not in a state that goes on from drawing to
drawing: this is for N-way K-shot alone. The encoder normalises each image by itself, so that no query tells of another.
"""

from importlib import import_module
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn
from torch.nn import functional

from data import InputError
from episodes.few_shot import FewShot
from mann.models.building import drawn_with
from mann.models.classifier import episode_labels
from mann.models.encoders import ENCODERS, ConvEncoder
from mann.settings.schema import Config

STEPS = 3
"""Steps of gradient descent on a support set (the paper: 1 in training and 3 afterwards, for 5 ways; 5 for 20)."""
RATE = 0.1
"""Their learning rate (the paper: 0.4 for 5 ways, 0.1 for 20)."""


class Maml(nn.Module):
    """Answers to queries after a few steps of gradient descent on the support set.

    Attributes:
        start: The encoder and a linear layer, with the weights that are learned.

    Args:
        encoder: From [drawings, height, width] to [drawings, features].
        labels: One-hot labels.

    Raises:
        InputError: learn2learn is not installed.
    """

    def __init__(self, encoder: ConvEncoder, labels: int):
        super().__init__()
        self.start = nn.Sequential(encoder, nn.Linear(encoder.features, labels))
        self._kind = _algorithms().MAML

    @property
    def encoder(self) -> nn.Module:
        """What drawings are seen through."""
        return self.start[0]

    def forward(self, cut: FewShot) -> Tensor:
        """Return logits of the queries, [queries, batch, 1, labels]."""
        each = zip(*(images.unbind(1) for images in (cut.support.images, cut.queries.images)), strict=True)
        targets = cut.support.targets.unbind(1)
        return torch.stack([self._answers(*images, *named.T) for images, named in zip(each, targets, strict=True)], 1)

    def _answers(self, support: Tensor, queries: Tensor, targets: Tensor) -> Tensor:
        """Return logits of the queries of a sequence, [queries, 1, labels]."""
        learning = torch.is_grad_enabled()  # if not, nobody asks for the gradient through the steps
        with torch.enable_grad():
            learner = self._kind(self.start, RATE, first_order=not learning).clone()
            for _ in range(STEPS):
                learner.adapt(functional.cross_entropy(learner(support), targets))
        return learner(queries)[:, None]


def build_maml(config: Config) -> Maml:
    """Return a new model, its weights drawn with the config's seed; the global random state is left alone.

    Raises:
        InputError: learn2learn is not installed.
    """
    with drawn_with(config.seed):
        encoder = ENCODERS[config.encoder](config.size, config.encoder_width)
        assert isinstance(encoder, ConvEncoder)
        return Maml(encoder, episode_labels(config).symbols)


def _algorithms() -> Any:
    """Import learn2learn.

    Raises:
        InputError: it is not installed.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")  # of code that is not ours
            return import_module("learn2learn.algorithms")
    except ImportError as error:
        raise InputError("addressing maml needs learn2learn: requirements-learn2learn.txt says how") from error
