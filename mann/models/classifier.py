"""From label-offset episodes to answers: an encoder, a network, and what the answers mean."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from data import InputError
from episodes import LABELS, Episode, Labels
from mann.models.building import build_network, drawn_with
from mann.models.encoders import ENCODERS
from mann.models.network import Access, MemoryNetwork
from mann.settings.schema import Config


class Classifier(nn.Module):
    """What an encoder sees in images and the label before go into a network; out come logits for each character.

    Attributes:
        encoder: From [drawings, height, width] to [drawings, features]; see `mann.models.encoders`.
        network: Used like `torch.nn.LSTM`, of input width `features + characters * symbols` and output width
            `characters * symbols`.
        symbols: Symbols that a character of a label can be.
        image_scale, label_scale: What features and labels are multiplied with. Beside hundreds of pixels the few
            numbers of a label hardly move the controller at first; larger ones are bound sooner.
    """

    def __init__(
        self,
        network: nn.Module,
        symbols: int,
        image_scale: float = 1.0,
        label_scale: float = 1.0,
        encoder: nn.Module | None = None,
    ):
        super().__init__()
        self.encoder = encoder or nn.Flatten()
        self.network = network
        self.symbols = symbols
        self.image_scale = image_scale
        self.label_scale = label_scale

    def forward(self, images: Tensor, previous: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Answer at every step.

        Args:
            images: [time, batch, height, width] in [0, 1].
            previous: [time, batch, characters * symbols], the encoded label of the image before.
            state: Where to go on from; None: a blank memory.

        Returns:
            Logits [time, batch, characters, symbols], and the network's state.
        """
        outputs, state = self.network(self._inputs(images, previous), state)
        return outputs.unflatten(-1, (-1, self.symbols)), state

    def trace(self, images: Tensor, previous: Tensor, state: Any = None) -> tuple[Tensor, Any, Access]:
        """Answer, and keep what happened to the memory; the network has to be a `MemoryNetwork`."""
        assert isinstance(self.network, MemoryNetwork)
        outputs, state, access = self.network.trace(self._inputs(images, previous), state)
        return outputs.unflatten(-1, (-1, self.symbols)), state, access

    def _inputs(self, images: Tensor, previous: Tensor) -> Tensor:
        """Return what the network sees, [time, batch, features + characters * symbols]."""
        # All steps at once: images of all times are encoded before the network goes through time.
        features = self.encoder(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return torch.cat([features * self.image_scale, previous * self.label_scale], -1)


def episode_labels(config: Config) -> Labels:
    """Return how classes are named in an episode."""
    return LABELS[config.labels](config.labelled)


def build_classifier(config: Config) -> Classifier:
    """Return a new classifier, its weights drawn with the config's seed; the global random state is left alone.

    Raises:
        InputError: what is learned is no classifier of sequences.
    """
    if config.addressing == "maml":
        raise InputError("a run of MAML answers no sequences: measure it with evaluate.py RUN --ways N --shots K")
    labels = episode_labels(config)
    label_width = labels.characters * labels.symbols
    with drawn_with(config.seed):
        encoder = ENCODERS[config.encoder](config.size, config.encoder_width)
    network = build_network(config, encoder.features + label_width, label_width)
    return Classifier(network, labels.symbols, config.image_scale, config.label_scale, encoder)


def nearest_pixels(config: Config) -> Classifier:
    """Return what answers with the label of the drawing so far whose pixels are nearest; nothing in it is learned."""
    return build_classifier(replace(config, addressing="nearest", scheme=None, encoder="none"))


def answer_loss(logits: Tensor, episode: Episode) -> Tensor:
    """Return the mean over steps and sequences of -log P(label), summed over the characters of a label."""
    characters = logits.shape[2]
    return characters * functional.cross_entropy(logits.flatten(0, 2), episode.targets.flatten())


def is_right(logits: Tensor, episode: Episode) -> Tensor:
    """Return bool [time, batch]: every character of the answer is the label's."""
    return (logits.argmax(-1) == episode.targets).all(-1)


def count_by_instance(right: Tensor, presentation: Tensor, instances: int) -> tuple[Tensor, Tensor]:
    """Count answers by how often the class had been shown.

    Args:
        right: bool [time, batch].
        presentation: int64 [time, batch], from 1.
        instances: How many instances to count; later ones are left out.

    Returns:
        Right answers and all answers, int64 [batch, instances]; column k - 1 is the k-th instance.
    """
    shown = functional.one_hot((presentation - 1).clamp(max=instances), instances + 1)[..., :instances]
    return (shown * right[..., None]).sum(0), shown.sum(0)
