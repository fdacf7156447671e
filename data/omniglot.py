"""Omniglot: 1623 handwritten characters of 50 alphabets, each drawn once by 20 people.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 350 (2015). The data come in two halves, "background" (964 characters) and
"evaluation" (659); here they are put together, and the splits of `data.splits` take them apart.
"""

import os
import re
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from PIL import Image, ImageOps

from data.cache import cache_folder, packed, source_digest
from data.classes import ImageClasses
from data.errors import InputError

# The two halves and the number of characters (classes) in each.
HALVES = {"images_background": 964, "images_evaluation": 659}
DRAWINGS = 20  # per character
SIDE = 105  # pixels, as published
# A drawing takes a few hundred bytes. A file that says it is far larger is no drawing, and is
# refused before it is unpacked.
LARGEST_FILE = 64 * 1024
# The archives have 10 MB; one that is far larger could list so many files that the list alone fills the memory.
LARGEST_ARCHIVE = 32 * 2**20

_DRAWING = re.compile(r"([^/\\.][^/\\]*/character\d\d)/[^/\\]+\.png")
_BY_HAND = (
    "give a folder with images_background.zip and images_evaluation.zip, "
    "or with the two folders extracted from them, as --root"
)


def load_omniglot(root: Path | None, size: int = 20, cache: Path | None = None) -> ImageClasses:
    """Load all 1623 characters, 20 drawings each.

    Args:
        root: A folder with the two archives or the two extracted folders, or with a folder
            `omniglot-py` (torchvision's layout) that holds them; nothing is downloaded then.
            None: the archives are downloaded into the cache folder, once.
        size: Side of the images in pixels, 1..105; scaled down by area averaging.
        cache: Where packed images and the download are kept; `data.cache.cache_folder()` when None.

    Returns:
        Classes named "Alphabet/characterNN" and sorted by name, drawings in the order of their
        file names (which is the order of the drawers), ink 255 on 0.

    Raises:
        InputError: nothing found, or not all 1623 x 20 drawings of 105x105 pixels, or a file
            that cannot be read, or no network to download from.
    """
    if not 1 <= size <= SIDE:
        raise InputError(f"image size {size}: Omniglot can be scaled to 1..{SIDE} pixels a side")
    cache = cache_folder() if cache is None else cache
    halves = _find_halves(_downloaded(cache / "omniglot") if root is None else Path(root))
    key = f"omniglot-{size}-{source_digest(*halves.values())}"
    return packed(key, lambda: _read_halves(halves, size), cache)


def is_here() -> bool:
    """Tell whether the images were downloaded already."""
    return all(_find_half(cache_folder() / "omniglot", half) is not None for half in HALVES)


def _downloaded(folder: Path) -> Path:
    """Return `folder` with both halves in it, downloaded and checked by torchvision if need be."""
    missing = [half for half in HALVES if _find_half(folder, half) is None]
    if not missing:
        return folder
    # Imported only for the download: it takes longer than everything else a second start does.
    from torchvision.datasets import Omniglot
    from torchvision.datasets.utils import download_url

    folder.mkdir(parents=True, exist_ok=True)
    for half in missing:
        archive = f"{half}.zip"
        # Renamed into place only after the check: an archive that is there is whole.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as workplace:
            try:
                download_url(
                    f"{Omniglot.download_url_prefix}/{archive}",
                    workplace,
                    archive,
                    Omniglot.zips_md5[half],
                )
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"{archive} of Omniglot could not be downloaded ({error}): {_BY_HAND}, "
                    "or use the built-in characters, strokes, which need no download"
                ) from error
            os.replace(Path(workplace) / archive, folder / archive)
    return folder


def _find_half(root: Path, half: str) -> Path | None:
    """Return the archive or else the folder of one half, or None.

    Raises:
        InputError: the archive is too large to be one.
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
    """Return where each half is.

    Raises:
        InputError: `root` is no folder, or a half is not there.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: {_BY_HAND}")
    halves = {}
    for half in HALVES:
        source = _find_half(root, half)
        if source is None:
            raise InputError(
                f"{root} holds neither {half}.zip nor a folder {half} (nor does its folder omniglot-py): {_BY_HAND}"
            )
        halves[half] = source
    return halves


def _read_halves(halves: dict[str, Path], size: int) -> ImageClasses:
    """Read all drawings of all halves, the classes sorted by name."""
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
    return ImageClasses(images, torch.full((len(names),), DRAWINGS), names)


def _read_half(half: str, source: Path, size: int) -> Iterator[tuple[str, numpy.ndarray]]:
    """Yield (name, uint8 [sample, size, size]) for each character of one half."""
    with _opened(source) as files:
        drawings = _drawings_by_character(half, source, files.sizes)
        for name, paths in drawings.items():
            images = [_decoded(files.read(path), f"{source}: {path}", size) for path in paths]
            yield name, numpy.stack(images)


class _Files(NamedTuple):
    """The files of one half, whether in an archive or a folder.

    Attributes:
        sizes: bytes by path; the path starts with the name of the half, its parts joined by "/".
        read: returns the content of the file with that path.
    """

    sizes: dict[str, int]
    read: Callable[[str], bytes]


@contextmanager
def _opened(source: Path) -> Iterator[_Files]:
    """Open an archive or a folder for reading.

    Raises:
        InputError: it cannot be read, which may also turn out within the block.
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
                # What other ways of packing ask for in memory is up to the archive.
                if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
                    raise InputError(f"{source} is packed in another way than zip archives of Omniglot: get it again")
                yield _Files({member.filename: member.file_size for member in members}, archive.read)
    except InputError:
        raise
    # All that zipfile raises for content that is cut off, changed, encrypted or oddly packed.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{source} cannot be read ({error}): get it again") from error


def _size(path: Path) -> int:
    """Return the bytes of a file.

    Raises:
        OSError: it is none, but a device or a pipe, which might never end, or leads nowhere.
    """
    if not path.is_file():
        raise OSError(f"{path} is no file")
    return path.stat().st_size


def _is_left_by_a_file_manager(path: str) -> bool:
    """Tell hidden files and folders (.DS_Store, __MACOSX) from content; ".." is not hidden."""
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in path.split("/"))


def _drawings_by_character(half: str, source: Path, sizes: dict[str, int]) -> dict[str, list[str]]:
    """Group the paths of one half by character and check that all are there.

    Returns:
        For each "Alphabet/characterNN" the paths of its drawings, sorted.

    Raises:
        InputError: a path that is no drawing, a file too large, or wrong numbers.
    """
    drawings: dict[str, list[str]] = {}
    for path in sorted(sizes):
        if _is_left_by_a_file_manager(path):
            continue
        top, _, rest = path.partition("/")
        match = _DRAWING.fullmatch(rest)
        if top != half or match is None:
            raise InputError(
                f"{source} holds {path!r}; expected only files such as "
                f"{half}/Alphabet/character01/0001_01.png: get the data again"
            )
        if sizes[path] > LARGEST_FILE:
            raise InputError(
                f"{source}: {path} has {sizes[path]} bytes, a drawing at most {LARGEST_FILE}: get the data again"
            )
        drawings.setdefault(match[1], []).append(path)
    if len(drawings) != HALVES[half]:
        raise InputError(f"{source} holds {len(drawings)} characters, expected {HALVES[half]}: get the data again")
    for name, paths in drawings.items():
        if len(paths) != DRAWINGS:
            raise InputError(f"{source} holds {len(paths)} drawings of {name}, expected {DRAWINGS}: get the data again")
    return drawings


def _decoded(content: bytes, path: str, size: int) -> numpy.ndarray:
    """Decode one PNG: black ink on white, 105x105, becomes uint8 [size, size] with ink 255 on 0.

    Each pixel of the result is the mean of the drawing's pixels whose centres lie in its area.

    Raises:
        InputError: it is no PNG, is damaged, or has another size; `path` names it.
    """
    try:
        with (
            # Pillow only warns of images of doubtful size.
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
    except Exception as error:  # Pillow's decoders raise nearly anything on damage
        raise InputError(f"{path} is no readable PNG ({error}): get the data again") from error
    return numpy.asarray(ink.resize((size, size), Image.Resampling.BOX))
