"""Images in folders, one folder per class: `<root>/<class>/<image>`."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy
import torch
from PIL import Image, ImageOps

from data.cache import packed, source_digest
from data.classes import ImageClasses
from data.errors import InputError

SUFFIXES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
LONGEST_SIDE: Final = 8192
"""Longest side of an image in pixels.

An image is padded to a square of at most this side, so that a small file that unpacks to a giant image cannot exhaust
the memory.
"""


def load_folder(root: Path, size: int, cache: Path | None = None) -> ImageClasses:
    """Load every image of every class folder below `root`.

    Each image is converted to grey, padded to a square with its background and scaled to `size` by area averaging. The
    background is the median of the border; if it is bright, the image is inverted, so that ink is always bright.
    Transparent parts are white, only the first frame of an animation is read, and hidden files are ignored.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("ant", "bee"):
    ...         Path(folder, name).mkdir()
    ...         Image.new("L", (60, 40), "white").save(Path(folder, name, "1.png"))
    ...     classes = load_folder(Path(folder), size=20, cache=Path(folder, ".cache"))
    >>> classes.names, classes.images.shape
    (('ant', 'bee'), torch.Size([2, 1, 20, 20]))

    Args:
        root: The folder that holds the class folders; files beside them are ignored.
        size: Side of the images in pixels, at least 1.
        cache: Folder of the packed images; None: `data.cache.cache_folder()`.

    Returns:
        Classes with the names of their folders, sorted by name, and images in the order of their file names; classes
        may be of unequal size.

    Raises:
        InputError: There is no such folder, there are fewer than 2 classes, a class has no images, or a file in a class
            folder is not a readable image.
    """
    if size < 1:
        raise InputError(f"image size {size}: it must be at least 1 pixel a side")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: give one that holds a folder per class")
    key = f"folder-{size}-{source_digest(root)}"
    return packed(key, lambda: _read_classes(root, size), cache)


def read_images(paths: Iterable[str | Path], size: int = 20) -> numpy.ndarray:
    """Read images as `load_folder` does: uint8 [image, size, size], ink bright.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "dot.png")
    ...     pixels = numpy.full((4, 4), 255, dtype=numpy.uint8)
    ...     pixels[1, 2] = 0
    ...     Image.fromarray(pixels).save(path)
    ...     read_images([path], size=2).tolist()
    [[[0, 64], [0, 0]]]

    Raises:
        InputError: `paths` is empty, or a file cannot be read.
    """
    images = [_ink(_read_grey(Path(path)), size) for path in paths]
    if not images:
        raise InputError("no image is named: give the paths of image files")
    return numpy.stack(images)


def _read_classes(root: Path, size: int) -> ImageClasses:
    """Read all classes, padded with zeros to the size of the largest."""
    folders = [path for path in _visible(root) if path.is_dir()]
    if len(folders) < 2:
        raise InputError(
            f"{root} holds {len(folders)} class folders, expected at least 2: "
            "put the images of each class into a folder of its own, <root>/<class>/<image>"
        )
    classes = [_read_class(folder, size) for folder in folders]
    counts = torch.tensor([len(images) for images in classes])
    images = torch.zeros(len(classes), int(counts.max()), size, size, dtype=torch.uint8)
    for row, samples in zip(images, classes, strict=True):
        row[: len(samples)] = torch.from_numpy(samples)
    return ImageClasses(images, counts, tuple(folder.name for folder in folders))


def _visible(folder: Path) -> list[Path]:
    """Return the files and folders directly in `folder` that are not hidden, sorted by name."""
    return sorted(
        (path for path in folder.iterdir() if not path.name.startswith(".")),
        key=lambda path: path.name,
    )


def _read_class(folder: Path, size: int) -> numpy.ndarray:
    """Read one class: uint8 [sample, size, size]."""
    paths = _visible(folder)
    if not paths:
        raise InputError(f"class folder {folder} holds no image: add some or remove the folder")
    for path in paths:
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"{path} is no image file: a class folder may hold only {', '.join(SUFFIXES)} files; move it elsewhere"
            )
    return read_images(paths, size)


def _read_grey(path: Path) -> numpy.ndarray:
    """Read one image of any kind: uint8 [height, width].

    Raises:
        InputError: It cannot be decoded, or a side is longer than `LONGEST_SIDE`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow refuses only images twice as large as those that it warns of.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if max(image.size) > LONGEST_SIDE:
                    raise InputError(
                        f"{path} has {image.width}x{image.height} pixels: "
                        f"scale it down to at most {LONGEST_SIDE} a side"
                    )
                return _grey(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path} has too many pixels: scale it down to at most {LONGEST_SIDE} a side") from error
    except InputError:
        raise
    # On damaged files Pillow's decoders raise nearly any exception (OSError, SyntaxError, struct.error, ...).
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as an image ({reason}): repair or remove it") from error


def _grey(image: Image.Image) -> numpy.ndarray:
    """Return the brightness of an image, uint8 [height, width]; transparent parts are white."""
    if image.mode.startswith("I;16"):
        # Pillow would clip 16-bit values at 255 instead of scaling them.
        return (numpy.asarray(image) >> 8).astype(numpy.uint8)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return numpy.asarray(image.convert("L"))


def _ink(grey: numpy.ndarray, size: int) -> numpy.ndarray:
    """Convert brightness [height, width] to ink, uint8 [size, size]: bright on a dark background."""
    height, width = grey.shape
    border = numpy.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = int(numpy.median(border))
    side = max(height, width)
    square = numpy.full((side, side), background, dtype=numpy.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = grey
    if background > 127:
        square = 255 - square
    return numpy.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.BOX))
