"""Images grouped by class: the one type that every data set is turned into."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from data.errors import InputError

_OF_AN_ALPHABET = re.compile(r"(.+)/(?!rot\d{3}$)[^/]+?(/rot\d{3})?")


@dataclass(frozen=True, eq=False)
class ImageClasses:
    """Drawings grouped by class, resident on one device.

    Attributes:
        images: uint8 [class, sample, height, width], ink bright (up to 255) on a 0 background.
        counts: int64 [class], each in 1..samples: how many drawings the class really has. The
            rows of `images` past the count are zero padding (classes may be of unequal size).
        names: the name of each class, all different.

    Raises:
        ValueError: the three do not fit together.
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
            InputError: a name is unknown or given twice.
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
        """Return four times the classes: each one also turned by 90, 180 and 270 degrees.

        A class is turned as a whole, counter-clockwise, and becomes a class of its own (Santoro
        et al. 2016). The classes come first as they are, then all turned by 90
        degrees ("name/rot090"), by 180 ("name/rot180") and by 270 ("name/rot270").

        Raises:
            ValueError: the images are not square.
        """
        height, width = self.images.shape[2:]
        if height != width:
            raise ValueError(f"only square images can be turned, not {height}x{width}")
        turned = [torch.rot90(self.images, quarter, dims=(2, 3)) for quarter in range(4)]
        names = [f"{name}{suffix}" for suffix in ("", "/rot090", "/rot180", "/rot270") for name in self.names]
        return ImageClasses(torch.cat(turned), self.counts.repeat(4), tuple(names))

    @cached_property
    def alphabets(self) -> Tensor:
        """The number of each class's alphabet, which is the part of its name before the "/": int64 [class], from 0.

        Classes that were turned make up alphabets of their own: many characters are much like others turned.

        Raises:
            InputError: a name says no alphabet.
        """
        found = [_OF_AN_ALPHABET.fullmatch(name) for name in self.names]
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
