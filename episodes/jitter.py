"""Random rotation and translation of drawings, as Santoro et al. 2016 augment Omniglot (section 4.1)."""

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from episodes.native import has_compiler, library

_LOOPS = Path(__file__).with_name("jitter.cpp")

Move = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(drawings, places, angle, move) -> the drawings at those places, moved; see `moved`."""


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

    def __call__(self, drawings: Tensor, places: Tensor, generator: torch.Generator) -> Tensor:
        """Return some drawings, moved; what comes in from outside is 0.

        drawings: uint8 [drawing, height, width], full ink 255; places: int64 [some], which of them. Returns float32
        [some, height, width], full ink 1.
        """
        uniform = torch.empty(len(places), 3, device=drawings.device).uniform_(-1, 1, generator=generator)
        angle, move = uniform[:, 0] * self.rotation, uniform[:, 1:] * (2 * self.translation)
        return _quickest(drawings.device)(drawings, places, angle, move)


def moved(images: Tensor, angle: Tensor, move: Tensor) -> Tensor:
    """Turn images about their middle and move them, with bilinear interpolation.

    Args:
        images: float [drawing, height, width], square: a turn distorts others.
        angle: [drawing], radians counter-clockwise.
        move: [drawing, 2], to the right and downwards, in half sides.
    """
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack([cosine, -sine, sine, cosine], -1).view(-1, 2, 2)
    # The map goes from a place in the result to the place in the source: the inverse of the move.
    # (x, y) = R (x' - across, y' - down), in coordinates from -1 to 1 with y pointing down.
    rows = torch.cat([turn, (turn * move[:, None]).sum(-1, keepdim=True)], -1).view(-1, 3)
    # All places of all images in one product: `affine_grid` takes one for each image, and most of the time.
    grid = (rows @ _places(*images.shape[1:], images.dtype, images.device)).view(len(images), 2, *images.shape[1:])
    return functional.grid_sample(images[:, None], grid.movedim(1, -1), align_corners=False)[:, 0]


def shares_of_ink(drawings: Tensor, places: Tensor) -> Tensor:
    """Return some drawings as they are, full ink 1; see `Jitter`."""
    return drawings.index_select(0, places).float().div_(255)


def by_torch(drawings: Tensor, places: Tensor, angle: Tensor, move: Tensor) -> Tensor:
    """See `Move`: on any device."""
    return moved(shares_of_ink(drawings, places), angle, move)


def by_loops(drawings: Tensor, places: Tensor, angle: Tensor, move: Tensor) -> Tensor:
    """See `Move`: on a CPU with a compiler, in half the time of `by_torch` and equal to it up to rounding."""
    out = torch.empty(len(places), *drawings.shape[1:])
    taken = [tensor.contiguous() for tensor in (drawings, places, angle, move)]
    numbers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (*taken, out)]
    library(_LOOPS).moved(*numbers, *map(ctypes.c_int64, out.shape))
    return out


@cache
def _quickest(device: torch.device) -> Move:
    """Return what moves drawings on a device."""
    return by_loops if device.type == "cpu" and has_compiler() else by_torch


@cache
def _places(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (x, y, -1) of every pixel's middle, from -1 to 1, row by row: [3, height * width]."""
    y, x = (torch.arange(1 - side, side, 2, dtype=dtype, device=device) / side for side in (height, width))
    x, y = torch.meshgrid(x, y, indexing="xy")
    return torch.stack([x, y, torch.full_like(x, -1)]).flatten(1)
