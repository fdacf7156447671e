"""Images grouped by class: the common type of all data sets."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from data.errors import InputError

# "Alphabet/character" or "Alphabet/character/rot090": the alphabet, and the rotation if there is one. A rotated class
# without an alphabet, such as "stroke0001/rot090", does not match.
_ALPHABET = re.compile(r"(.+)/(?!rot\d{3}$)[^/]+?(/rot\d{3})?")


@dataclass(frozen=True, eq=False)
class ImageClasses:
    """Images grouped by class, stored on one device.

    Attributes:
        images: uint8 [class, sample, height, width], ink bright (up to 255) on a background of 0.
        counts: int64 [class], each in 1 .. samples: the number of images of the class. The rest of its row in `images`
            is zero padding (classes may be of unequal size).
        names: The name of each class, all different.

    Raises:
        ValueError: The three do not fit together.
    """

    images: Tensor
    counts: Tensor
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that images, counts and names describe the same classes."""
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                "images must be uint8 [class, sample, height, width], "
                f"not {self.images.dtype} {list(self.images.shape)}"
            )
        classes, samples = self.images.shape[:2]
        if self.counts.dtype != torch.int64 or self.counts.shape != (classes,):
            raise ValueError(f"counts must be int64 [{classes}], not {self.counts.dtype} {list(self.counts.shape)}")
        if self.counts.device != self.images.device:
            raise ValueError(
                f"images are on {self.images.device}, counts on {self.counts.device}: they must be on one device"
            )
        if bool(((self.counts < 1) | (self.counts > samples)).any()):
            raise ValueError(f"every count must be between 1 and {samples}")
        padding = torch.arange(samples, device=self.counts.device) >= self.counts[:, None]
        if bool(self.images[padding].any()):
            raise ValueError("the images past a class's count must be zero")
        if len(self.names) != classes or len(set(self.names)) != classes:
            raise ValueError(
                f"{classes} classes need as many different names, "
                f"not {len(set(self.names))} different among {len(self.names)}"
            )

    def select(self, names: Sequence[str]) -> "ImageClasses":
        """Return the named classes, in the order given.

        Raises:
            InputError: A name is unknown or given twice.
        """
        position = {name: index for index, name in enumerate(self.names)}
        unknown = [name for name in names if name not in position]
        if unknown:
            raise InputError(
                f"no class is named {unknown[0]!r} ({len(unknown)} of {len(names)} names unknown); "
                f"the {len(self.names)} classes have names such as {self.names[0]!r}"
            )
        repeated = [name for name, times in Counter(names).items() if times > 1]
        if repeated:
            raise InputError(f"class {repeated[0]!r} is named more than once: name each class once")
        rows = torch.tensor([position[name] for name in names], dtype=torch.int64, device=self.images.device)
        return ImageClasses(self.images[rows], self.counts[rows], tuple(names))

    def with_rotations(self) -> "ImageClasses":
        """Return four times the classes: each one also rotated by 90, 180 and 270 degrees.

        All images of a class are rotated by the same angle, counter-clockwise, and make a new class (Santoro et al.
        2016). First come the original classes, then all rotated by 90 degrees ("name/rot090"), by 180 ("name/rot180")
        and by 270 ("name/rot270").

        Raises:
            ValueError: The images are not square.
        """
        height, width = self.images.shape[2:]
        if height != width:
            raise ValueError(f"only square images can be rotated, not {height}x{width}")
        rotated = [torch.rot90(self.images, quarter, dims=(2, 3)) for quarter in range(4)]
        names = [f"{name}{suffix}" for suffix in ("", "/rot090", "/rot180", "/rot270") for name in self.names]
        return ImageClasses(torch.cat(rotated), self.counts.repeat(4), tuple(names))

    @cached_property
    def alphabets(self) -> Tensor:
        """The alphabet of each class, the part of its name before the "/", as a number from 0: int64 [class].

        Rotated classes belong to alphabets of their own: many characters are similar to others rotated.

        Raises:
            InputError: A name contains no alphabet.
        """
        found = [_ALPHABET.fullmatch(name) for name in self.names]
        if None in found:
            raise InputError(
                f"class {self.names[found.index(None)]!r} is of no alphabet: only classes with names such as "
                "'Latin/character01' are, those of omniglot"
            )
        alphabets = [match.groups() for match in found if match is not None]
        numbers = {alphabet: number for number, alphabet in enumerate(dict.fromkeys(alphabets))}
        return torch.tensor([numbers[alphabet] for alphabet in alphabets], device=self.images.device)

    def to(self, device: torch.device | str) -> "ImageClasses":
        """Return the same classes with images and counts on `device`."""
        return ImageClasses(self.images.to(device), self.counts.to(device), self.names)
