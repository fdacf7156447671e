"""A small Omniglot of three characters, written as archives or folders."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy
from PIL import Image

from data import ImageClasses

HALVES = {"images_background": 2, "images_evaluation": 1}
SAMPLES = 2
NAMES = ("Alpha/character01", "Alpha/character02", "Beta/character01")
BACKGROUND = "images_background"


def png(black: tuple[slice, slice] = (slice(0), slice(0)), side: int = 105) -> bytes:
    """Return a 1-bit PNG, white but for one black rectangle given as (rows, columns)."""
    pixels = numpy.full((side, side), True)
    pixels[black] = False
    file = BytesIO()
    Image.fromarray(pixels).convert("1").save(file, "PNG")
    return file.getvalue()


def small_omniglot() -> dict[str, dict[str, bytes]]:
    """Return, by half and path, three characters with two images each, all different.

    Image s of the c-th character has ink in the block of 21 rows c and 21 columns s.
    """
    halves: dict[str, dict[str, bytes]] = {half: {} for half in HALVES}
    for index, name in enumerate(NAMES):
        half = "images_evaluation" if name.startswith("Beta") else "images_background"
        for sample in range(SAMPLES):
            block = slice(21 * index, 21 * index + 21), slice(21 * sample, 21 * sample + 21)
            path = f"{half}/{name}/{index:04}_{sample + 1:02}.png"
            halves[half][path] = png(block)
    return halves


def write_archives(root: Path, halves: dict[str, dict[str, bytes]]) -> None:
    """Write one archive per half, the last file first."""
    root.mkdir(parents=True, exist_ok=True)
    for half, files in halves.items():
        with zipfile.ZipFile(root / f"{half}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in reversed(files.items()):
                archive.writestr(path, content)


def write_folders(root: Path, halves: dict[str, dict[str, bytes]]) -> None:
    """Write one folder per half."""
    for files in halves.values():
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


def assert_small_omniglot(classes: ImageClasses) -> None:
    """Check every pixel of the small Omniglot at 5x5, where a block is one pixel."""
    assert classes.names == NAMES
    assert classes.counts.tolist() == [2, 2, 2]
    expected = numpy.zeros((3, 2, 5, 5), dtype=numpy.uint8)
    for index in range(3):
        for sample in range(2):
            expected[index, sample, index, sample] = 255
    assert numpy.array_equal(classes.images.numpy(), expected)
