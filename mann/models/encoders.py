"""Encoders: the features of an image that a network receives, its pixels or the output of trained layers.

An encoder maps images [images, height, width] to features [images, features], each image by itself: its features never
depend on the other images of a batch, and are computed in the same way in training and afterwards.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS: Final = 4
"""Blocks of a convolutional encoder."""
LENGTH: Final = 4.0
"""Root mean square of the length of initial features: that of Omniglot's pixels about their mean."""


class ConvEncoder(nn.Module):
    """Four blocks of 3x3 convolution, normalisation, rectification and 2x2 pooling (Snell et al. 2017, section 3.1).

    Two departures. Channels are normalised within each image, where the paper normalises over a batch, and so over
    steps that are still to come. And the features are centred at the start (`settle`): with new weights they are nearly
    the same for all images, positive numbers whose common part is several times as long as the differences between
    images, so that content addressing cannot tell one image from another.

    >>> encoder = ConvEncoder(size=20, width=8)
    >>> encoder(torch.rand(3, 20, 20)).shape == (3, encoder.features)
    True

    Attributes:
        features: Number of features: `width` for each place that pooling leaves of an image.

    Args:
        size: Side of the images in pixels, of any value: pooling rounds up.
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
        """[images, size, size] -> [images, features]."""
        return self._pooled(images) * self.gain + self.bias

    @torch.no_grad()
    def settle(self, images: Tensor) -> None:
        """Initialise gain and bias from images [images, size, size]: mean 0, one variance for all, length `LENGTH`.

        They are set once and then trained, as in actnorm (Kingma and Dhariwal 2018, section 3.1).
        """
        deviation, mean = torch.std_mean(self._pooled(images), 0, correction=0)
        # A feature that is the same for all images carries no information, and its noise is not amplified.
        varies = deviation > 1e-3
        self.gain.copy_(LENGTH / varies.sum().clamp(min=1).sqrt() / deviation.where(varies, 1.0))
        self.bias.copy_(-mean * self.gain)

    @torch.no_grad()
    def centre(self, images: Tensor) -> None:
        """Shift and scale features that were trained elsewhere to mean 0 and length `LENGTH`, all by one factor.

        A prototypical network compares differences of features, so their common part is arbitrary there.
        """
        deviation, mean = torch.std_mean(self(images), 0, correction=0)
        length = deviation.norm()
        scale = LENGTH / length.where(length > 1e-3, 1.0)  # constant features are not amplified
        self.gain.mul_(scale)
        self.bias.sub_(mean).mul_(scale)

    def _pooled(self, images: Tensor) -> Tensor:
        """Return the output of the last block, [images, features]."""
        # Channels last in memory: on a CPU 32 of them take half the time, and 64 three quarters (docs/log.md).
        hidden = images[..., None].movedim(-1, 1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # Rectified after pooling, which gives the same numbers from a quarter of the work.
            hidden = functional.max_pool2d(norm(convolution(hidden)), 2, ceil_mode=True).relu()
        return hidden.flatten(1)


class Autoencoder(nn.Module):
    """A few numbers from which the image can be reconstructed (Santoro et al. 2016, section 4.2.1, "deep features").

    Two layers of 200 leaky rectified units each way, 32 linear units between them. The paper does not define the error;
    here it is the mean square over pixels.

    >>> encoder = Autoencoder(size=20)
    >>> encoder(torch.rand(3, 20, 20)).shape
    torch.Size([3, 32])

    Attributes:
        features: Number of features.

    Args:
        size: Side of the images in pixels.
        width: Not used; encoders are made from (size, width).
    """

    features = 32

    def __init__(self, size: int, width: int = 0):
        super().__init__()
        self.encode = _two_layers(size**2, self.features)
        self.decode = _two_layers(self.features, size**2)

    def forward(self, images: Tensor) -> Tensor:
        """[images, size, size] -> [images, features]."""
        return self.encode(images.flatten(1))

    def error(self, images: Tensor) -> Tensor:
        """Return the mean squared error of the reconstructions of images [images, size, size], []."""
        return functional.mse_loss(self.decode(self(images)), images.flatten(1))


def _two_layers(input_size: int, output_size: int) -> nn.Sequential:
    """Return two layers of 200 leaky rectified units, and a linear one."""
    return nn.Sequential(
        *(nn.Linear(input_size, 200), nn.LeakyReLU()),
        *(nn.Linear(200, 200), nn.LeakyReLU()),
        nn.Linear(200, output_size),
    )


class Pixels(nn.Flatten):
    """No encoder: the features are the pixels, row by row.

    >>> Pixels(size=20)(torch.rand(3, 20, 20)).shape
    torch.Size([3, 400])
    """

    def __init__(self, size: int, width: int = 0):
        super().__init__()
        self.features = size**2


ENCODERS: Final[Mapping[str, Callable[[int, int], "ConvEncoder | Autoencoder | Pixels"]]] = {
    "none": Pixels,
    "conv": ConvEncoder,
    "autoencoder": Autoencoder,
}
"""By name, a function that makes an encoder from (size, width)."""
