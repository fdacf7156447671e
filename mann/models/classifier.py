"""Label-offset classification: an encoder, a network, the loss, and the counts of right answers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from data import ImageClasses
from episodes import LABELS, ClassificationEpisodes, Episode, Jitter, Labels
from mann.models.network import Access, MemoryNetwork, NetworkState
from mann.settings import Config


class Classifier(nn.Module):
    """A network on encoded images and previous labels, with logits for each character of the answer.

    Attributes:
        encoder: From [images, height, width] to [images, features]; see `mann.models.encoders`.
        network: Used like `torch.nn.LSTM`, of input width `features + characters * symbols` and output width
            `characters * symbols`.
        symbols: Symbols that a character of a label can be.
        image_scale, label_scale: Factors on features and labels. Beside hundreds of pixels the few numbers of a label
            hardly move the controller at first; with a larger factor they are bound sooner.
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
            state: The state to continue from; None: a blank memory.

        Returns:
            Logits [time, batch, characters, symbols], and the network's state.
        """
        outputs, state = self.network(self._inputs(images, previous), state)
        return outputs.unflatten(-1, (-1, self.symbols)), state

    def trace(
        self, images: Tensor, previous: Tensor, state: NetworkState | None = None
    ) -> tuple[Tensor, NetworkState, Access]:
        """Answer, and return the accesses to the memory as well; the network has to be a `MemoryNetwork`."""
        assert isinstance(self.network, MemoryNetwork)
        outputs, state, access = self.network.trace(self._inputs(images, previous), state)
        return outputs.unflatten(-1, (-1, self.symbols)), state, access

    def _inputs(self, images: Tensor, previous: Tensor) -> Tensor:
        """Return the network's inputs, [time, batch, features + characters * symbols]."""
        # All steps at once: images of all times are encoded before the network goes through time.
        features = self.encoder(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return torch.cat([features * self.image_scale, previous * self.label_scale], -1)


def episode_labels(config: Config) -> Labels:
    """Return the labels that classes carry in an episode."""
    return LABELS[config.labels](config.most_labelled)


def label_offset_episodes(
    config: Config, images: ImageClasses, batch: int, seed: int, jitter: Jitter | None = None
) -> ClassificationEpisodes:
    """Return episodes of `images` as the settings describe them, `batch` at a time.

    Raises:
        InputError: the classes cannot fill an episode.
    """
    return ClassificationEpisodes(
        images,
        episode_labels(config),
        classes=config.classes,
        presentations=config.presentations,
        counting=config.counting,
        alphabets=config.alphabets,
        length=config.length,
        batch=batch,
        seed=seed,
        jitter=jitter,
    )


def answer_loss(logits: Tensor, episode: Episode) -> Tensor:
    """Return the mean over steps and sequences of -log P(label), summed over the characters of a label."""
    characters = logits.shape[2]
    return characters * functional.cross_entropy(logits.flatten(0, 2), episode.targets.flatten())


def is_right(logits: Tensor, episode: Episode) -> Tensor:
    """Return bool [time, batch]: every character of the answer is the label's."""
    return (logits.argmax(-1) == episode.targets).all(-1)


def count_by_instance(right: Tensor, presentation: Tensor, instances: int) -> tuple[Tensor, Tensor]:
    """Count answers by instance: how often the class has been presented, this time included.

    Args:
        right: bool [time, batch].
        presentation: int64 [time, batch], from 1.
        instances: Number of instances to count; later ones are left out.

    Returns:
        Right answers and all answers, int64 [batch, instances]; column k - 1 is the k-th instance.
    """
    presented = functional.one_hot((presentation - 1).clamp(max=instances), instances + 1)[..., :instances]
    return (presented * right[..., None]).sum(0), presented.sum(0)
