"""Omniglot: 1623 handwritten characters of 50 alphabets, each drawn once by 20 people.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program induction", Science 350
(2015). The data are published in two halves, "background" (964 characters) and "evaluation" (659). Both are loaded
together; `data.splits` divides the characters.
"""

import os
import re
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import numpy
import torch
from PIL import Image, ImageOps

from data.cache import cache_folder, packed, source_digest
from data.classes import ImageClasses
from data.errors import InputError

HALVES: Final[Mapping[str, int]] = {"images_background": 964, "images_evaluation": 659}
"""The two halves, and the number of characters (classes) in each."""
SAMPLES: Final = 20
"""Images of each character."""
SIDE: Final = 105
"""Side of the published images in pixels."""
LARGEST_FILE: Final = 64 * 1024
"""Largest size of an image file in bytes. An image takes a few hundred; a larger file is refused before unpacking."""
LARGEST_ARCHIVE: Final = 32 * 2**20
"""Largest size of an archive in bytes. The archives have 10 MB; the file list alone of a far larger one could exhaust
the memory."""

_IMAGE_PATH = re.compile(r"([^/\\.][^/\\]*/character\d\d)/[^/\\]+\.png")
_GIVE_ROOT = (
    "give a folder with images_background.zip and images_evaluation.zip, "
    "or with the two folders extracted from them, as `root`"
)


def load_omniglot(root: Path | None, size: int = 20, cache: Path | None = None) -> ImageClasses:
    """Load all 1623 characters, 20 images each.

    Args:
        root: A folder with the two archives or the two extracted folders, or with a folder `omniglot-py` (torchvision's
            layout) that holds them. None: the archives are downloaded into the cache folder, once.
        size: Side of the images in pixels, 1 .. 105; they are scaled down by area averaging.
        cache: Folder of the packed images and the download; None: `data.cache.cache_folder()`.

    Returns:
        Classes named "Alphabet/characterNN" and sorted by name, images in the order of their file names (which is the
        order of the drawers), ink 255 on 0.

    Raises:
        InputError: The data are missing or incomplete (1623 x 20 images of 105x105 pixels), a file cannot be read, or
            the download fails.
    """
    if not 1 <= size <= SIDE:
        raise InputError(f"image size {size}: Omniglot can be scaled to 1..{SIDE} pixels a side")
    cache = cache_folder() if cache is None else cache
    halves = _find_halves(_downloaded(cache / "omniglot") if root is None else Path(root))
    key = f"omniglot-{size}-{source_digest(*halves.values())}"
    return packed(key, lambda: _read_halves(halves, size), cache)


def is_downloaded() -> bool:
    """Return whether the images have been downloaded already."""
    return all(_find_half(cache_folder() / "omniglot", half) is not None for half in HALVES)


def _downloaded(folder: Path) -> Path:
    """Return `folder` with both halves in it, downloaded and verified by torchvision if necessary."""
    missing = [half for half in HALVES if _find_half(folder, half) is None]
    if not missing:
        return folder
    # Imported only for the download: the import takes longer than all other work of a second start.
    from torchvision.datasets import Omniglot
    from torchvision.datasets.utils import download_url

    folder.mkdir(parents=True, exist_ok=True)
    for half in missing:
        archive = f"{half}.zip"
        # Renamed into place only after verification: an archive in the folder is always complete.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
            try:
                download_url(
                    f"{Omniglot.download_url_prefix}/{archive}",
                    temporary,
                    archive,
                    Omniglot.zips_md5[half],
                )
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"{archive} of Omniglot could not be downloaded ({error}): {_GIVE_ROOT}, "
                    "or use the built-in characters, strokes, which need no download"
                ) from error
            os.replace(Path(temporary) / archive, folder / archive)
    return folder


def _find_half(root: Path, half: str) -> Path | None:
    """Return the archive or else the folder of one half, or None.

    Raises:
        InputError: The archive is too large to be one of Omniglot's.
    """
    for folder in (root, root / "omniglot-py"):
        archive = folder / f"{half}.zip"
        if archive.is_file():
            if archive.stat().st_size > LARGEST_ARCHIVE:
                raise InputError(
                    f"{archive} has {archive.stat().st_size} bytes, expected at most {LARGEST_ARCHIVE}: get it again"
                )
            return archive
        if (folder / half).is_dir():
            return folder / half
    return None


def _find_halves(root: Path) -> dict[str, Path]:
    """Return the archive or folder of each half.

    Raises:
        InputError: `root` is not a folder, or a half is missing.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: {_GIVE_ROOT}")
    halves = {}
    for half in HALVES:
        source = _find_half(root, half)
        if source is None:
            raise InputError(
                f"{root} holds neither {half}.zip nor a folder {half} (nor does its folder omniglot-py): {_GIVE_ROOT}"
            )
        halves[half] = source
    return halves


def _read_halves(halves: dict[str, Path], size: int) -> ImageClasses:
    """Read all images of all halves, the classes sorted by name."""
    characters: dict[str, numpy.ndarray] = {}
    for half, source in halves.items():
        for name, images in _read_half(half, source, size):
            if name in characters:
                raise InputError(
                    f"{source} holds character {name}, which another half holds too: get the archive again"
                )
            characters[name] = images
    names = tuple(sorted(characters))
    images = torch.from_numpy(numpy.stack([characters[name] for name in names]))
    return ImageClasses(images, torch.full((len(names),), SAMPLES), names)


def _read_half(half: str, source: Path, size: int) -> Iterator[tuple[str, numpy.ndarray]]:
    """Yield (name, uint8 [sample, size, size]) for each character of one half."""
    with _opened(source) as files:
        characters = _paths_by_character(half, source, files.sizes)
        for name, paths in characters.items():
            images = [_decoded(files.read(path), f"{source}: {path}", size) for path in paths]
            yield name, numpy.stack(images)


class _Files(NamedTuple):
    """The files of one half, in an archive or a folder.

    Attributes:
        sizes: Sizes in bytes by path; the path starts with the name of the half, its parts joined by "/".
        read: Returns the content of the file with that path.
    """

    sizes: dict[str, int]
    read: Callable[[str], bytes]


@contextmanager
def _opened(source: Path) -> Iterator[_Files]:
    """Open an archive or a folder for reading.

    Raises:
        InputError: It cannot be read; the error may also be raised within the `with` block.
    """
    try:
        if source.is_dir():
            sizes = {
                path.relative_to(source.parent).as_posix(): _size(path)
                for path in source.rglob("*")
                if not path.is_dir()
            }
            yield _Files(sizes, lambda path: (source.parent / path).read_bytes())
        else:
            with zipfile.ZipFile(source) as archive:
                members = [member for member in archive.infolist() if not member.filename.endswith("/")]
                # With other compression methods, the archive determines how much memory unpacking takes.
                if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
                    raise InputError(f"{source} is compressed by another method than Omniglot's archives: get it again")
                yield _Files({member.filename: member.file_size for member in members}, archive.read)
    except InputError:
        raise
    # All errors that zipfile raises for truncated, changed, encrypted or unusually compressed content.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{source} cannot be read ({error}): get it again") from error


def _size(path: Path) -> int:
    """Return the size of a file in bytes.

    Raises:
        OSError: It is not a file but a device or a pipe, which might never end, or a broken link.
    """
    if not path.is_file():
        raise OSError(f"{path} is no file")
    return path.stat().st_size


def _is_hidden(path: str) -> bool:
    """Return whether a file is hidden or in a hidden folder (.DS_Store, __MACOSX), as file managers leave them.

    A part ".." is not hidden: such paths have to be refused, not skipped.
    """
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in path.split("/"))


def _paths_by_character(half: str, source: Path, sizes: dict[str, int]) -> dict[str, list[str]]:
    """Group the paths of one half by character and check that it is complete.

    Returns:
        For each "Alphabet/characterNN" the paths of its images, sorted.

    Raises:
        InputError: A path is not that of an image, a file is too large, or the numbers are wrong.
    """
    characters: dict[str, list[str]] = {}
    for path in sorted(sizes):
        if _is_hidden(path):
            continue
        top, _, rest = path.partition("/")
        match = _IMAGE_PATH.fullmatch(rest)
        if top != half or match is None:
            raise InputError(
                f"{source} holds {path!r}; expected only files such as "
                f"{half}/Alphabet/character01/0001_01.png: get the data again"
            )
        if sizes[path] > LARGEST_FILE:
            raise InputError(
                f"{source}: {path} has {sizes[path]} bytes, an image at most {LARGEST_FILE}: get the data again"
            )
        characters.setdefault(match[1], []).append(path)
    if len(characters) != HALVES[half]:
        raise InputError(f"{source} holds {len(characters)} characters, expected {HALVES[half]}: get the data again")
    for name, paths in characters.items():
        if len(paths) != SAMPLES:
            raise InputError(f"{source} holds {len(paths)} images of {name}, expected {SAMPLES}: get the data again")
    return characters


def _decoded(content: bytes, path: str, size: int) -> numpy.ndarray:
    """Decode one PNG of black ink on white, 105x105, to uint8 [size, size] with ink 255 on 0.

    Each pixel of the result is the mean of the source pixels with their centre in its area.

    Raises:
        InputError: The content is not a PNG, is damaged, or has another size; the message names `path`.
    """
    try:
        with (
            # Pillow refuses only images twice as large as those that it warns of.
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(BytesIO(content), formats=["PNG"]) as image,
        ):
            if image.size != (SIDE, SIDE):
                raise InputError(
                    f"{path} has {image.width}x{image.height} pixels, expected {SIDE}x{SIDE}: get the data again"
                )
            ink = ImageOps.invert(image.convert("L"))
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly any exception on damaged files
        raise InputError(f"{path} is no readable PNG ({error}): get the data again") from error
    return numpy.asarray(ink.resize((size, size), Image.Resampling.BOX))
