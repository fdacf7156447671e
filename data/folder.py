"""A folder of one's own images: one folder per class, `<root>/<class>/<image>`."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps

from data.cache import packed, source_digest
from data.classes import ImageClasses
from data.errors import InputError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Longest side that is read, in pixels. The image is padded to a square of this side at most, so
# that a small file that unpacks to a giant image cannot take all the memory.
LONGEST_SIDE = 8192


def load_folder(root: Path, size: int, cache: Path | None = None) -> ImageClasses:
    """Load every image of every class folder below `root`.

    Each image becomes grey, is padded to a square with its background and scaled to `size` by
    area averaging. The background is the median of the border; where it is bright, the image is
    inverted, so that ink is always bright. Transparent parts count as white, the first picture of
    an animation counts alone, hidden files are ignored.

    Args:
        root: The folder that holds the class folders; files beside them are ignored.
        size: Side of the images in pixels, at least 1.
        cache: Where packed images are kept; `data.cache.cache_folder()` when None.

    Returns:
        Classes named as their folders and sorted by name, images in the order of their file
        names; classes may be of unequal size.

    Raises:
        InputError: no such folder, fewer than 2 classes, a class without images, or a file in a
            class folder that is no readable image.
    """
    if size < 1:
        raise InputError(f"image size {size}: it must be at least 1 pixel a side")
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: give one that holds a folder per class")
    key = f"folder-{size}-{source_digest(root)}"
    return packed(key, lambda: _read_classes(root, size), cache)


def read_images(paths: Iterable[str | Path], size: int = 20) -> numpy.ndarray:
    """Read images as `load_folder` does: uint8 [n, size, size], ink bright.

    Raises:
        InputError: there are none, or one cannot be read.
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
    for row, drawings in zip(images, classes, strict=True):
        row[: len(drawings)] = torch.from_numpy(drawings)
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
        InputError: it cannot be decoded, or a side is longer than `LONGEST_SIDE`.
    """
    try:
        with warnings.catch_warnings():
            # Pillow only warns of images of doubtful size.
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
    # Pillow's decoders raise nearly anything (OSError, SyntaxError, struct.error, ...) on damage.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as an image ({reason}): repair or remove it") from error


def _grey(image: Image.Image) -> numpy.ndarray:
    """Return the brightness of an image, uint8 [height, width]; transparent parts are white."""
    if image.mode.startswith("I;16"):
        # Pillow would cut 16 bits off at 255 instead of scaling them.
        return (numpy.asarray(image) >> 8).astype(numpy.uint8)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return numpy.asarray(image.convert("L"))


def _ink(grey: numpy.ndarray, size: int) -> numpy.ndarray:
    """Turn brightness [height, width] into ink, uint8 [size, size]: bright on a dark background."""
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
