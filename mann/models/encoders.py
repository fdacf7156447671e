"""From an image to what a network sees of it: nothing but its pixels, or features that are learned with the rest.

An encoder takes images [drawings, height, width] and returns [drawings, width], each image by itself: what is answered
to one never depends on what else is in a batch, and is the same in training and afterwards.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = 4
"""Of a convolutional encoder."""
LENGTH = 4.0
"""Root mean square of the length of features at the start: that of Omniglot's pixels about their mean."""


class ConvEncoder(nn.Module):
    """Four blocks of 3x3 convolution, normalisation, rectification and 2x2 pooling (Snell et al. 2017, section 3.1).

    Two departures. Groups of channels are normalised within each image, where the paper normalises over a batch, and
    so over steps that are still to come. And the features are centred at the start: those of new weights are all but
    the same for all drawings, positive numbers whose common part is several times what tells drawings apart, and a
    memory that is addressed by content finds nothing in them. See `settle`.

    Attributes:
        features: How many come out: `width` for each place that is left of an image.

    Args:
        size: Side of the images in pixels; pooling rounds up, so that any will do.
        width: Channels of each block.
    """

    def __init__(self, size: int, width: int):
        super().__init__()
        channels = [1] + [width] * BLOCKS
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1, bias=False)
            for before, after in zip(channels, channels[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for _ in range(BLOCKS))
        side = -(-size // 2**BLOCKS)
        self.features = width * side**2
        self.gain = nn.Parameter(torch.ones(self.features))
        self.bias = nn.Parameter(torch.zeros(self.features))

    def forward(self, images: Tensor) -> Tensor:
        """[drawings, size, size] -> [drawings, features]."""
        return self._pooled(images) * self.gain + self.bias

    @torch.no_grad()
    def settle(self, images: Tensor) -> None:
        """Start from drawings [drawings, size, size]: with features of mean 0, one variance, and length `LENGTH`.

        Gain and bias are set once and then learned, as in actnorm (Kingma and Dhariwal 2018, section 3.1).
        """
        deviation, mean = torch.std_mean(self._pooled(images), 0, correction=0)
        # A feature that is the same for all drawings says nothing, and is not blown up.
        tells = deviation > 1e-3
        self.gain.copy_(LENGTH / tells.sum().clamp(min=1).sqrt() / deviation.where(tells, 1.0))
        self.bias.copy_(-mean * self.gain)

    @torch.no_grad()
    def centre(self, images: Tensor) -> None:
        """Move and scale features that were learned elsewhere, all alike, to mean 0 and length `LENGTH`.

        A prototypical network compares differences of features: what is common to all of them means nothing there.
        """
        deviation, mean = torch.std_mean(self(images), 0, correction=0)
        length = deviation.norm()
        scale = LENGTH / length.where(length > 1e-3, 1.0)  # features that say nothing are not blown up
        self.gain.mul_(scale)
        self.bias.sub_(mean).mul_(scale)

    def _pooled(self, images: Tensor) -> Tensor:
        """Return what the last block leaves of images, [drawings, features]."""
        # Channels lie side by side in memory: on a CPU 32 took half the time then, and 64 three quarters (docs/log.md).
        hidden = images[..., None].movedim(-1, 1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # Rectified after pooling, which is the same: there is a quarter as much of it.
            hidden = functional.max_pool2d(norm(convolution(hidden)), 2, ceil_mode=True).relu()
        return hidden.flatten(1)


class Autoencoder(nn.Module):
    """Few numbers from which the image can be drawn again (Santoro et al. 2016, section 4.2.1, "deep features").

    Two layers of 200 leaky rectified units each way, 32 linear units between them. The paper does not say what an error
    is; here it is the mean square of a pixel's.

    Attributes:
        features: How many come out.

    Args:
        size: Side of the images in pixels.
    """

    features = 32

    def __init__(self, size: int, width: int = 0):
        super().__init__()
        self.encode = _two_layers(size**2, self.features)
        self.decode = _two_layers(self.features, size**2)

    def forward(self, images: Tensor) -> Tensor:
        """[drawings, size, size] -> [drawings, features]."""
        return self.encode(images.flatten(1))

    def error(self, images: Tensor) -> Tensor:
        """Return how far drawings [drawings, size, size] are from what is drawn again of them, []."""
        return functional.mse_loss(self.decode(self(images)), images.flatten(1))


def _two_layers(input_size: int, output_size: int) -> nn.Sequential:
    """Return two layers of 200 leaky rectified units, and a linear one."""
    return nn.Sequential(
        *(nn.Linear(input_size, 200), nn.LeakyReLU()),
        *(nn.Linear(200, 200), nn.LeakyReLU()),
        nn.Linear(200, output_size),
    )


class Pixels(nn.Flatten):
    """No encoder: an image is its pixels, in a row."""

    def __init__(self, size: int, width: int = 0):
        super().__init__()
        self.features = size**2


ENCODERS: Mapping[str, Callable[[int, int], "ConvEncoder | Autoencoder | Pixels"]] = MappingProxyType(
    {"none": Pixels, "conv": ConvEncoder, "autoencoder": Autoencoder}
)
"""By name, what makes an encoder from (size, width)."""
