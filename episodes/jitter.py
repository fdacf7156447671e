"""Random rotation and translation of drawings, as Santoro et al. 2016 augment Omniglot (section 4.1)."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Jitter:
    """Each drawing is turned and moved by amounts of its own, uniform within the bounds.

    Attributes:
        rotation: Largest angle in radians, either way (the paper: pi / 16).
        translation: Largest move as a share of the image's side, either way, in each direction
            (the paper: 10 of 105 pixels).
    """

    rotation: float = math.pi / 16
    translation: float = 10 / 105

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images, float [drawing, height, width], moved; what comes in from outside is 0."""
        uniform = torch.rand(len(images), 3, generator=generator, device=images.device) * 2 - 1
        angle, across, down = (
            uniform * images.new_tensor([self.rotation, 2 * self.translation, 2 * self.translation])
        ).unbind(-1)
        return moved(images, angle, across, down)


def moved(images: Tensor, angle: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Turn images about their middle and move them, with bilinear interpolation.

    Args:
        images: float [drawing, height, width], square: a turn distorts others.
        angle: [drawing], radians counter-clockwise.
        across: [drawing], to the right, in half widths.
        down: [drawing], downwards, in half heights.
    """
    cosine, sine = angle.cos(), angle.sin()
    # The map goes from a place in the result to the place in the source: the inverse of the move.
    # (x, y) = R (x' - across, y' - down), in coordinates from -1 to 1 with y pointing down.
    rows = torch.stack(
        [cosine, -sine, sine * down - cosine * across, sine, cosine, -sine * across - cosine * down], -1
    ).view(-1, 3)
    # All places of all images in one product: `affine_grid` takes one for each image, and most of the time.
    grid = (rows @ _places(*images.shape[1:], images.dtype, images.device)).view(len(images), 2, *images.shape[1:])
    return functional.grid_sample(images[:, None], grid.movedim(1, -1), align_corners=False)[:, 0]


@cache
def _places(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (x, y, 1) of every pixel's middle, from -1 to 1, row by row: [3, height * width]."""
    y, x = (torch.arange(1 - side, side, 2, dtype=dtype, device=device) / side for side in (height, width))
    x, y = torch.meshgrid(x, y, indexing="xy")
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)
