"""Random rotation and translation of images, as Santoro et al. 2016 augment Omniglot (section 4.1); scale and shear."""

import ctypes
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from episodes.native import CannotCompileError, has_compiler, library

_LOOPS = Path(__file__).with_name("jitter.cpp")

Transform = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(images, indices, angle, translation, deformation) -> the images at those indices; see `transformed`."""


@dataclass(frozen=True)
class Jitter:
    """Rotation, translation, scaling and shear of each image by amounts of its own, uniform within the bounds.

    Attributes:
        rotation: Largest angle in radians, in both senses (the paper: pi / 16).
        translation: Largest translation as a fraction of the image's side, along each axis and in both directions (the
            paper: 10 of 105 pixels).
        scale: Largest change of the length of each axis, as a fraction, in both directions (the paper: none).
        shear: Largest slant of the vertical axis, as a fraction of the height, to both sides (the paper: none).
    """

    rotation: float = math.pi / 16
    translation: float = 10 / 105
    scale: float = 0.0
    shear: float = 0.0

    def __call__(self, images: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the selected images, transformed; pixels from outside the image are 0.

        images: uint8 [image, height, width], full ink 255; indices: int64 [selected]. Returns float32
        [selected, height, width], full ink 1.
        """
        # With neither scale nor shear three numbers are drawn, so episodes stay as they were before these fields.
        drawn = 6 if self.scale or self.shear else 3
        uniform = torch.empty(len(indices), drawn, device=images.device).uniform_(-1, 1, generator=generator)
        # In units of half a side, in which coordinates go from -1 to 1.
        angle, translation = uniform[:, 0] * self.rotation, uniform[:, 1:3] * (2 * self.translation)
        wider, higher, slant = uniform[:, -3:].unbind(1)  # times 0 where only three numbers are drawn
        deformation = torch.stack([wider * self.scale, higher * self.scale, slant * self.shear], -1)
        return fastest_transform(images.device)(images, indices, angle, translation, deformation)


def transformed(images: Tensor, angle: Tensor, translation: Tensor, deformation: Tensor) -> Tensor:
    """Slant and stretch images about their centre, then rotate, then translate them, with bilinear interpolation.

    Args:
        images: float [image, height, width], square: other images would be distorted by a rotation.
        angle: [image], radians counter-clockwise.
        translation: [image, 2], to the right and downwards, in half sides.
        deformation: [image, 3]: widths and heights are multiplied by 1 plus the first and the second number; before,
            a point that is y half sides below the centre is moved to the left by y times the third, in half sides.
    """
    cosine, sine = angle.cos(), angle.sin()
    across, down, slant = 1 / (1 + deformation[:, 0]), 1 / (1 + deformation[:, 1]), deformation[:, 2]
    undone = torch.stack([across, slant * down, torch.zeros_like(down), down], -1).view(-1, 2, 2)
    rotation = undone @ torch.stack([cosine, -sine, sine, cosine], -1).view(-1, 2, 2)
    # Sampling needs the inverse map, from a pixel p' of the result to its place p = R (p' - translation) in the source.
    # R rotates clockwise as seen, since y points down, and undoes the deformation. The grid holds (x', y', -1), so that
    # matrix [R, R translation] and a column of the grid is p.
    affine = torch.cat([rotation, (rotation * translation[:, None]).sum(-1, keepdim=True)], -1).view(-1, 3)
    # One product for all images. `affine_grid` makes one for each image, which takes most of its time.
    places = affine @ _pixel_grid(*images.shape[1:], images.dtype, images.device)
    places = places.view(len(images), 2, *images.shape[1:]).movedim(1, -1)
    return functional.grid_sample(images[:, None], places, align_corners=False)[:, 0]


def selected_images(images: Tensor, indices: Tensor) -> Tensor:
    """Return the selected images without a transformation, full ink 1; see `Jitter`."""
    return images.index_select(0, indices).float().div_(255)


def transform_in_torch(
    images: Tensor, indices: Tensor, angle: Tensor, translation: Tensor, deformation: Tensor
) -> Tensor:
    """Implement `Transform` on any device."""
    return transformed(selected_images(images, indices), angle, translation, deformation)


def transform_in_cpp(
    images: Tensor, indices: Tensor, angle: Tensor, translation: Tensor, deformation: Tensor
) -> Tensor:
    """Implement `Transform` on a CPU with a compiler: half the time of `transform_in_torch`, equal up to rounding."""
    out = torch.empty(len(indices), *images.shape[1:])
    # Kept in a list: the pointers below are valid as long as the contiguous copies exist.
    arguments = [tensor.contiguous() for tensor in (images, indices, angle, translation, deformation)]
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (*arguments, out)]
    library(_LOOPS).transform(*pointers, *map(ctypes.c_int64, out.shape))
    return out


@cache
def fastest_transform(device: torch.device) -> Transform:
    """Return the fastest implementation of `Transform` on a device."""
    if device.type != "cpu" or not has_compiler():
        return transform_in_torch
    try:
        library(_LOOPS)
    except CannotCompileError as error:
        warnings.warn(f"images are transformed by torch, in twice the time: {error}", stacklevel=2)
        return transform_in_torch
    return transform_in_cpp


@cache
def _pixel_grid(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (x, y, -1) of the centre of every pixel, from -1 to 1, row by row: [3, height * width]."""
    y, x = (torch.arange(1 - side, side, 2, dtype=dtype, device=device) / side for side in (height, width))
    x, y = torch.meshgrid(x, y, indexing="xy")
    return torch.stack([x, y, torch.full_like(x, -1)]).flatten(1)
